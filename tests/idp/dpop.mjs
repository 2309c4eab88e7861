// A client that binds its tokens to a key (DPoP, RFC 9449), and what a thief of its traffic would try. Everything is said in the
// environment: PROVIDER, API (the gateway's), CERTIFICATE (a PEM file, of somebody else's login). Prints one JSON line for each attempt:
// {"case", "status", "body"}, and first {"case": "key", "thumbprint", "bound", "bearer"}.
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';

const { PROVIDER, API, CERTIFICATE } = process.env;
const WHOAMI = `${API}/v1/whoami`;
const say = (line) => console.log(JSON.stringify(line));
const b64 = (text) => Buffer.from(text).toString('base64url');
const hash = (token) => createHash('sha256').update(token).digest('base64url');

const newKey = async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { privateKey, jwk, thumbprint: await calculateJwkThumbprint(jwk) };
};

// Claims that are undefined are left out.
const proof = (key, claims, header = {}) => {
  const all = { jti: randomUUID(), iat: Math.floor(Date.now() / 1000), ...claims };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return new SignJWT(given).setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk, ...header }).sign(key.privateKey);
};

const ask = async (key) => {
  const token = `${PROVIDER}/token`;
  const request = async (nonce) => {
    const headers = { authorization: `Basic ${btoa('ci:only-for-tests')}`, 'content-type': 'application/x-www-form-urlencoded' };
    if (key) headers.dpop = await proof(key, { htm: 'POST', htu: token, nonce });
    return fetch(token, { method: 'POST', headers, body: 'grant_type=client_credentials' });
  };
  let reply = await request();
  if (reply.status === 400 && reply.headers.get('dpop-nonce')) reply = await request(reply.headers.get('dpop-nonce'));
  const body = await reply.json();
  if (!body.access_token) throw new Error(JSON.stringify(body));
  return body.access_token;
};

const attempt = async (name, headers) => {
  const reply = await fetch(WHOAMI, { headers });
  const text = await reply.text();
  say({ case: name, status: reply.status, body: text.startsWith('{') ? JSON.parse(text) : text });
};

const [key, thief] = [await newKey(), await newKey()];
const [bound, another, bearer] = [await ask(key), await ask(key), await ask()];
say({ case: 'key', thumbprint: key.thumbprint, bound, bearer });

const right = { htm: 'GET', htu: WHOAMI, ath: hash(bound) };
const dpop = (given, token = bound) => ({ authorization: `DPoP ${token}`, dpop: given });
const once = await proof(key, right);
await attempt('a proof', dpop(once));
await attempt('the same proof again', dpop(once));
await attempt('the same proof with another token of the key', dpop(once, another));
const unhashed = { ...right, ath: undefined };
for (const [name, claims] of Object.entries({
  'for another method': { ...right, htm: 'POST' },
  'for another path': { ...right, htu: `${API}/v1/renew` },
  'for another gateway': { ...right, htu: 'https://gateway.example/v1/whoami' },
  'for another scheme': { ...right, htu: WHOAMI.replace('https:', 'http:') },
  'for another token': { ...right, ath: hash(another) },
  'for no token': unhashed,
  'of long ago': { ...right, iat: Math.floor(Date.now() / 1000) - 300 },
  'of tomorrow': { ...right, iat: Math.floor(Date.now() / 1000) + 86400 },
  'without an id': { ...right, jti: undefined },
})) {
  await attempt(`a proof ${name}`, dpop(await proof(key, claims)));
}
await attempt("a thief's proof", dpop(await proof(thief, right)));
await attempt("a thief's proof that shows the owner's key", dpop(await proof(thief, right, { jwk: key.jwk })));
await attempt('a proof of another type', dpop(await proof(key, right, { typ: 'JWT' })));
await attempt('no proof', { authorization: `DPoP ${bound}` });
const two = [await proof(key, right), await proof(key, right)];
await attempt('two proofs in a header', dpop(two.join(', ')));
// fetch would join them.
await new Promise((resolve, reject) => {
  const headers = { authorization: `DPoP ${bound}`, dpop: two };
  const done = (reply) => reply.resume().on('end', () => resolve(say({ case: 'two proofs', status: reply.statusCode, body: '' })));
  get(WHOAMI, { headers }, done).on('error', reject);
});

const [header, payload, signature] = bound.split('.');
const claims = JSON.parse(Buffer.from(payload, 'base64url'));
const forged = (changed) => `${header}.${b64(JSON.stringify(changed))}.${signature}`;
const { cnf, ...stripped } = claims;
await attempt('a bound token as a bearer', { authorization: `Bearer ${bound}` });
await attempt('a bound token as a bearer, with a proof', { authorization: `Bearer ${bound}`, dpop: await proof(key, right) });
await attempt('a stripped cnf', { authorization: `Bearer ${forged(stripped)}` });
const swapped = forged({ ...claims, cnf: { ...cnf, jkt: thief.thumbprint } });
await attempt("a cnf of the thief's key", dpop(await proof(thief, { ...right, ath: hash(swapped) }), swapped));
await attempt('a bearer token with a proof', dpop(await proof(key, { ...right, ath: hash(bearer) }), bearer));
await attempt('a bearer token', { authorization: `Bearer ${bearer}` });

// What proxies call a client certificate, with one that is good.
const pem = readFileSync(CERTIFICATE, 'utf8');
const der = pem.split('-----')[2].replaceAll('\n', '');
const spoofed = {
  'client-cert': `:${der}:`,
  'client-cert-chain': `:${der}:`,
  'x-client-cert': der,
  'x-ssl-cert': encodeURIComponent(pem),
  'x-ssl-client-cert': encodeURIComponent(pem),
  'ssl-client-cert': encodeURIComponent(pem),
  'x-forwarded-client-cert': `Cert="${encodeURIComponent(pem)}"`,
  'x-forwarded-tls-client-cert': der,
  'x-amzn-mtls-clientcert': encodeURIComponent(pem),
  'x-arr-clientcert': der,
  'x-ssl-client-verify': 'SUCCESS',
  'x-client-verified': 'SUCCESS',
};
await attempt('spoofed client certificates', spoofed);
await attempt('spoofed client certificates beside a bearer token', { ...spoofed, authorization: `Bearer ${bearer}` });
