// Mints the documents of two trust domains with crypto/x509 and go-jose, and has SPIFFE's own library (go-spiffe) write the bundles and
// validate every document: what is refused elsewhere is refused for its reason, not because it is malformed.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func certificate(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	template.SerialNumber = must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)))
	template.Subject = pkix.Name{Country: []string{"US"}, Organization: []string{"SPIFFE"}}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	template.BasicConstraintsValid = true
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, public, signer))))
}

// domain mints a workload's documents into folder, whose files begin with name.
func domain(folder, name string, workload spiffeid.ID) {
	write := func(end string, bytes []byte) {
		if err := os.WriteFile(filepath.Join(folder, name+end), bytes, 0o600); err != nil {
			panic(err)
		}
	}
	caKey, key, jwtKey := newKey(), newKey(), newKey()
	of := func(id string) []*url.URL { return []*url.URL{must(url.Parse(id))} }
	caTemplate := &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, URIs: of(workload.TrustDomain().IDString())}
	ca := certificate(caTemplate, caTemplate, caKey.Public(), caKey)
	leaf := certificate(&x509.Certificate{
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        of(workload.String()),
	}, ca, key.Public(), caKey)

	bundle := spiffebundle.New(workload.TrustDomain())
	bundle.AddX509Authority(ca)
	if err := bundle.AddJWTAuthority("jwt-1", jwtKey.Public()); err != nil {
		panic(err)
	}
	bundle.SetRefreshHint(time.Minute)
	bundle.SetSequenceNumber(1)

	options := (&jose.SignerOptions{}).WithType("JWT")
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: jwtKey, KeyID: "jwt-1"}}, options))
	claims := jwt.Claims{Subject: workload.String(), Audience: []string{"countersign"}, Expiry: jwt.NewNumericDate(time.Now().Add(5 * time.Minute)), IssuedAt: jwt.NewNumericDate(time.Now())}
	token := must(jwt.Signed(signer).Claims(claims).Serialize())

	must(jwtsvid.ParseAndValidate(token, bundle, []string{"countersign"}))
	if id, _, err := x509svid.Verify([]*x509.Certificate{leaf}, bundle); err != nil || id != workload {
		panic(err)
	}
	write("-bundle.json", must(bundle.Marshal()))
	write("-svid.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	write("-key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}))
	write("-token", []byte(token))
}

func main() {
	domain(os.Args[1], "ours", spiffeid.RequireFromString("spiffe://td.example/ns/shop/sa/web"))
	domain(os.Args[1], "foreign", spiffeid.RequireFromString("spiffe://other.example/ns/shop/sa/web"))
	// The same names as ours, by keys of somebody else.
	domain(os.Args[1], "forged", spiffeid.RequireFromString("spiffe://td.example/ns/shop/sa/web"))
}
