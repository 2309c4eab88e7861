// People of a SAML identity provider in the console, and thieves. Prints "ok NAME" or "not ok NAME", then "N passed, N failed".
import assert from 'node:assert/strict';
import { verify, X509Certificate } from 'node:crypto';
import { appendFileSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { Provider, pair } from './provider.mjs';
import { World, play } from './world.mjs';

const { CHROMIUM } = process.env;
const COOKIE = '__Host-countersign';
const GCM = 'http://www.w3.org/2009/xmlenc11#aes256-gcm';
const CBC = 'http://www.w3.org/2001/04/xmlenc#aes256-cbc';

const keys = mkdtempSync(join(tmpdir(), 'countersign-saml.'));
const provider = new Provider(pair(keys, 'corp'));
const thief = pair(keys, 'thief');
await provider.start();
// One that encrypts whatever it says, and one whose metadata is signed by nobody.
const file = join(keys, 'metadata.xml');
writeFileSync(file, provider.metadata.replaceAll(provider.entity, `${provider.entity}/sealed`));

class SamlWorld extends World {
  async serve() {
    const config = join(this.data, 'countersign.toml');
    // The demo writes its files when it is first started.
    if (existsSync(config)) {
      const common = 'name_attribute = "mail"\nemail_attribute = "mail"\ngroups_attribute = "groups"\ngroups_prefix = ""\n';
      appendFileSync(config, `
[[saml]]
label = "corp"
entity_id = "${provider.entity}"
metadata_url = "${provider.base}/metadata"
${common}
[[saml]]
label = "sealed"
entity_id = "${provider.entity}/sealed"
metadata_file = "${file}"
require_encrypted = true
accept_response_signature = true
${common}`);
    }
    return super.serve();
  }
}

const world = new SamlWorld();
await world.start();
const { base } = world;
// Chromium's own sandbox does not run as root.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
const open = async () => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  return { context, page: await context.newPage() };
};
const cookie = async (context) => (await context.cookies(base)).find((c) => c.name === COOKIE && c.value);
const enter = async (label = 'corp', b = undefined) => {
  const { context, page } = b ?? (await open());
  await page.goto(`${base}/console/sessions?denied=true`);
  await page.getByRole('link', { name: `Sign in with ${label}` }).click();
  await page.getByRole('heading', { level: 1 }).filter({ hasText: /^(Sessions|You are not signed in)$/ }).waitFor();
  return { context, page, said: await page.locator('main').textContent() };
};
// That nobody is let in, and what the page says of it.
const refused = async (want, label = 'corp', b = undefined) => {
  const { context, said } = await enter(label, b);
  assert.equal(await cookie(context), undefined, said);
  assert.match(said, want);
};
const ours = async (label) => (await fetch(`${base}/console/saml/${label}/metadata`)).text();
const certificate = async (label) => {
  const [text] = /(?<=X509Certificate>)[^<]+/.exec(await ours(label));
  return new X509Certificate(Buffer.from(text, 'base64'));
};
const sealed = async (algorithm, more = {}) => ({
  encryptionCert: (await certificate('sealed')).toString(),
  encryptionPublicKey: (await certificate('sealed')).publicKey.export({ type: 'spki', format: 'pem' }),
  encryptionAlgorithm: algorithm, disallowEncryptionWithInsecureAlgorithm: false, issuer: `${provider.entity}/sealed`, ...more,
});

const cases = [];
const test = (name, act) => cases.push([name, act]);

test('a person signs in, with a signed request, and comes back to where they wanted to', async () => {
  const { context, page } = await enter();
  assert.equal(page.url(), `${base}/console/sessions?denied=true`);
  await page.getByText('mia@corp.example', { exact: true }).waitFor();
  const c = await cookie(context);
  assert.ok(c.httpOnly && c.secure && c.sameSite === 'Lax' && c.path === '/', JSON.stringify(c));
  const { search, searchParams } = provider.asked.at(-1);
  const signed = search.slice(1, search.indexOf('&Signature='));
  const { publicKey } = await certificate('corp');
  assert.ok(verify('sha256', Buffer.from(signed), publicKey, Buffer.from(searchParams.get('Signature'), 'base64')));
  const request = inflateRawSync(Buffer.from(searchParams.get('SAMLRequest'), 'base64')).toString();
  assert.match(request, /AssertionConsumerServiceURL="[^"]+\/console\/saml\/corp\/acs"/);
  // Groups are those of the assertion: a reviewer sees the list of sessions, which nobody else may.
  assert.equal((await page.goto(`${base}/console/inbox`)).status(), 200);
  // It is a login like any other: it ends.
  await page.getByRole('button', { name: 'Sign out' }).click();
  assert.match((await page.goto(`${base}/console/inbox`)).url(), /sign-in/);
});

test('encrypted assertions are opened, with AES-GCM and, in a signed response, with AES-CBC', async () => {
  for (const options of [await sealed(GCM), await sealed(CBC, { signResponse: true }), await sealed(GCM, { signResponse: true, signAssertion: false })]) {
    provider.options = options;
    const { context, said } = await enter('sealed');
    assert.ok(await cookie(context), said);
  }
  provider.options = await sealed(CBC);
  await refused(/AES-CBC came in a response without a signature/, 'sealed');
  provider.options = { issuer: `${provider.entity}/sealed` };
  await refused(/not encrypted/, 'sealed');
});

test('a response that is signed as a whole, and its assertion too', async () => {
  provider.options = { signResponse: true, signatureAlgorithm: 'rsa-sha256', signatureNamespacePrefix: 'ds' };
  assert.ok(await cookie((await enter()).context));
});

test('adv_088 what was forged, cut, wrapped or signed by somebody else lets nobody in', async () => {
  const assertion = /<saml:Assertion[\s\S]*<\/saml:Assertion>/;
  const signature = /<Signature [\s\S]*?<\/Signature>/;
  const evil = (xml) => xml.match(assertion)[0].replace(signature, '').replace(/ID="[^"]+"/, 'ID="_evil"').replaceAll('mia@', 'root@');
  for (const [edit, want] of [
    [(xml) => xml.replaceAll('mia@', 'root@'), /not accepted/],
    [(xml) => xml.replace('a1b2c3', 'a1b2c4'), /not accepted/],
    [(xml) => xml.replace(signature, ''), /not signed/],
    [(xml) => xml.replace(assertion, (good) => evil(xml) + good), /exactly one assertion/],
    [(xml) => xml.replace(assertion, (good) => good + evil(xml)), /exactly one assertion/],
    [(xml) => xml.replace(assertion, (good) => evil(xml).replace('</saml:Assertion>', `${good}</saml:Assertion>`)), /exactly one assertion/],
    [(xml) => xml.replace(assertion, (good) => evil(xml).replace('<saml:Subject>', `${good.match(signature)[0]}<saml:Subject>`)), /not over the element/],
    [(xml) => xml.replace('</samlp:Status>', `</samlp:Status><samlp:Extensions>${evil(xml)}</samlp:Extensions>`), /exactly one assertion/],
    [(xml) => `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${xml}`, /DTD/],
    [(xml) => xml.replace('a1b2c3', '&e;'), /entity/],
    [(xml) => xml.replace(/Destination="[^"]+"/, 'Destination="https://evil.example/"'), /another address/],
  ]) {
    provider.edit = edit;
    await refused(want);
  }
  provider.reset();
  for (const [options, want] of [
    [{ ...thief }, /not accepted/],
    [{ signAssertion: false }, /not signed/],
    [{ signAssertion: false, signResponse: true }, /only the response/],
    [{ signatureAlgorithm: 'rsa-sha1' }, /not accepted/],
    [{ digestAlgorithm: 'sha1' }, /not accepted/],
    [{ issuer: 'https://evil.example' }, /another identity provider/],
    [{ recipient: 'https://evil.example/acs' }, /another address/],
    [{ inResponseTo: '_other' }, /not to the request/],
    [{ lifetimeInSeconds: -60 }, /not accepted|expired/],
    [{ samlStatusCode: 'urn:oasis:names:tc:SAML:2.0:status:Responder' }, /sign-in failed/],
  ]) {
    provider.options = options;
    await refused(want);
  }
  // Comments and the like neither cut a name short nor make another one.
  provider.reset();
  provider.edit = (xml) => xml.replace('a1b2c3', 'a1<!-- x -->b2c3');
  assert.ok(await cookie((await enter()).context));
});

test('adv_089 an answer is for the browser that began, once, and was asked for', async () => {
  // The thief begins, keeps what comes back, and has somebody else's browser post it.
  let kept;
  const send = async (b, { action, fields }) => {
    const page = fields ? Object.entries(fields).map(([n, v]) => `<input name="${n}" value="${v}">`).join('') : '';
    await b.page.goto(`${provider.base}/nothing`);
    await b.page.setContent(`<form method="post" action="${action}">${page}</form>`);
    await Promise.all([b.page.waitForURL((u) => u.href.startsWith(base)), b.page.evaluate(() => document.forms[0].submit())]);
    await b.page.getByRole('heading', { level: 1 }).waitFor();
    return b.page.locator('main').textContent();
  };
  provider.form = (form) => ((kept = form), { action: `${provider.base}/nothing`, fields: {} });
  const thiefs = await open();
  await thiefs.page.goto(`${base}/console`);
  await thiefs.page.getByRole('link', { name: 'Sign in with corp' }).click();
  await thiefs.page.waitForURL(/nothing/);
  provider.reset();
  const victims = await open();
  assert.match(await send(victims, kept), /not begun in this browser/);
  assert.equal(await cookie(victims.context), undefined);
  // It was answered; the thief cannot use it either, nor in another sign-in.
  assert.match(await send(thiefs, kept), /Nobody asked for this sign-in/);
  provider.form = (form) => ({ ...form, fields: { ...form.fields, SAMLResponse: kept.fields.SAMLResponse } });
  await refused(/not to the request/);
  provider.reset();
  // Nobody asked at all.
  const xml = await provider.response({ acs: kept.action, audience: `${base}/console/saml/corp/metadata`, inResponseTo: '_made-up' });
  const answer = { SAMLResponse: Buffer.from(xml).toString('base64'), RelayState: '' };
  assert.match(await send(await open(), { action: kept.action, fields: answer }), /Nobody asked for this sign-in/);
  assert.match(await send(await open(), { action: kept.action, fields: {} }), /Nobody asked for this sign-in/);
  // One that waits for another identity provider.
  provider.form = (form) => ({ ...form, action: form.action.replace('/corp/', '/sealed/') });
  await refused(/Another identity provider/);
  provider.reset();
});

test('somebody who is locked is out, and comes in no more', async () => {
  const { page } = await enter();
  assert.equal((await page.goto(`${base}/console/inbox`)).status(), 200);
  world.operate(['locks', 'add', '--identity', 'mia@corp.example', '--reason', 'test']);
  for (let n = 0; ; n++) {
    const status = (await page.goto(`${base}/console/inbox`)).status();
    if (status === 403) break;
    assert.ok(n < 100, 'the lock reaches the console');
    await page.waitForTimeout(100);
  }
});

const failed = await play(cases, () => provider.reset());
await browser.close();
provider.server.closeAllConnections();
provider.server.close();
await world.end();
console.log(`${cases.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
