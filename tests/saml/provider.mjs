// An identity provider (npm samlp) at an address of its own. What it says, and what becomes of that before it is sent, is the test's.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import samlp from 'samlp';

/** A key with its certificate, in files of this folder. */
export const pair = (dir, name) => {
  const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)];
  const subject = ['-subj', `/CN=${name}`, '-days', '2'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  return { key: readFileSync(key), cert: readFileSync(cert) };
};

const body = (pem) => pem.toString().replace(/-----[^-]+-----|\s/g, '');

export class Provider {
  constructor(keys) {
    this.keys = keys;
    /** Every request that came, as an address. */
    this.asked = [];
    this.reset();
  }

  /** Back to what an honest one does. */
  reset() {
    this.person = { id: 'a1b2c3', name: 'mia@corp.example', groups: ['reviewers'] };
    this.options = {};
    this.edit = (xml) => xml;
    this.form = (form) => form;
  }

  async start() {
    this.server = createServer((request, response) => this.serve(request, response));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    // Another site than the console's, which is at localhost.
    this.base = `http://127.0.0.1:${this.server.address().port}`;
    this.entity = `${this.base}/entity`;
  }

  get metadata() {
    return `<?xml version="1.0"?><EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${this.entity}">
      <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing">
      <KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>${body(this.keys.cert)}</X509Certificate></X509Data></KeyInfo>
      </KeyDescriptor><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="${this.base}/sso"/>
      </IDPSSODescriptor></EntityDescriptor>`;
  }

  async serve(request, response) {
    const url = new URL(request.url, this.base);
    if (url.pathname === '/metadata') return response.end(this.metadata);
    if (url.pathname === '/nothing') return response.end('nothing');
    if (url.pathname !== '/sso') return response.writeHead(404).end();
    this.asked.push(url);
    try {
      const form = this.form(await this.answer(Object.fromEntries(url.searchParams)));
      response.setHeader('content-type', 'text/html');
      const field = ([name, value]) => `<input type="hidden" name="${name}" value="${value}">`;
      const fields = Object.entries(form.fields).map(field).join('');
      response.end(`<form method="post" action="${form.action}">${fields}</form><script>document.forms[0].submit()</script>`);
    } catch (error) {
      response.writeHead(500).end(String(error.stack));
    }
  }

  /** What samlp makes of a request, after the edits. */
  async answer(query) {
    const asked = await new Promise((resolve, reject) => {
      samlp.parseRequest({ query, method: 'GET' }, { signingCert: undefined }, (error, data) => (error ? reject(error) : resolve(data)));
    });
    const acs = asked.assertionConsumerServiceURL;
    const xml = await this.response({ acs, audience: asked.issuer, inResponseTo: asked.id });
    return { action: acs, fields: { SAMLResponse: Buffer.from(this.edit(xml)).toString('base64'), RelayState: query.RelayState } };
  }

  /** A response for this request. */
  async response({ acs, audience, inResponseTo }) {
    const { id, name, groups } = this.person;
    const user = { id, emails: [{ value: name }] };
    const profileMapper = () => ({
      getClaims: () => ({ mail: name, groups }),
      getNameIdentifier: () => ({ nameIdentifier: id, nameIdentifierFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent' }),
    });
    const settings = {
      issuer: this.entity, ...this.keys, audience, destination: acs, recipient: acs, inResponseTo, profileMapper, lifetimeInSeconds: 300,
      signatureAlgorithm: 'rsa-sha256', digestAlgorithm: 'sha256', ...this.options,
    };
    return new Promise((resolve, reject) => samlp.getSamlResponse(settings, user, (error, xml) => (error ? reject(error) : resolve(xml))));
  }
}
