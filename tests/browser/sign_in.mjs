// A real browser on the pages of the local issuer of a running gateway: GATEWAY_URL and GATEWAY_PASSWORD say which, CHROMIUM is the
// browser's program, SCREENSHOTS (optional) a folder for pictures. Prints "ok NAME" or "not ok NAME", then "N passed, N failed".
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import * as client from 'openid-client';
import { chromium } from 'playwright-core';

const { GATEWAY_URL: issuer, GATEWAY_PASSWORD: password, CHROMIUM, SCREENSHOTS } = process.env;
const NARROW = { width: 320, height: 640 };
const WIDE = { width: 1200, height: 800 };
// WCAG 2.2, 1.4.3 and 1.4.11.
const TEXT_CONTRAST_MIN = 4.5;
const EDGE_CONTRAST_MIN = 3;

const cli = await client.discovery(new URL(issuer), 'countersign-cli', undefined, client.None(), {
  execute: [client.allowInsecureRequests],
});

// What a program does: it listens on a port of its own and waits to be called back.
const program = async () => {
  let called;
  const calledBack = new Promise((resolve) => (called = resolve));
  const server = createServer((request, response) => {
    if (request.url.startsWith('/callback')) called(new URL(request.url, `http://127.0.0.1:${server.address().port}`));
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>back</title><p>back at the program');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
  const url = client.buildAuthorizationUrl(cli, {
    redirect_uri: `http://127.0.0.1:${server.address().port}/callback`,
    scope: 'openid profile offline_access',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
  }).href;
  const tokens = async () =>
    client.authorizationCodeGrant(cli, await calledBack, { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true });
  return { url, tokens, calledBack, end: () => server.close(), origin: `http://127.0.0.1:${server.address().port}` };
};

// Chromium's own sandbox does not run as root.
const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
const browser = await chromium.launch({ executablePath: CHROMIUM, args });

// A page of its own for each case: what it complains of and whom it asks are kept.
const open = async (options = {}) => {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  const seen = { complaints: [], asked: new Set() };
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && seen.complaints.push(m.text()));
  page.on('pageerror', (e) => seen.complaints.push(String(e)));
  page.on('request', (r) => seen.asked.add(new URL(r.url()).origin));
  return { page, seen };
};

const picture = async (page, name) => {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
};

const typeIn = async (page, name, secret) => {
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(secret);
};

const fitsInWidth = async (page) => {
  const [content, view] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(content <= view, `${content} px of content in ${view} px`);
};

// The contrast of every text with its ground, and of every field's edge with the card.
const contrasts = (page) =>
  page.evaluate(() => {
    const parse = (css) => css.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
      const c = [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
    };
    const ground = (e) => {
      for (; e; e = e.parentElement) {
        const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c;
      }
      return [255, 255, 255];
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const visible = [...document.querySelectorAll('main *')].filter((e) => e.getClientRects().length > 0);
    const texts = visible.filter((e) => e.tagName === 'INPUT' || [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
    const fields = visible.filter((e) => e.tagName === 'INPUT');
    return {
      text: Math.min(...texts.map((e) => ratio(parse(getComputedStyle(e).color), ground(e)))),
      edge: Math.min(...fields.map((e) => ratio(parse(getComputedStyle(e).borderTopColor), ground(e.parentElement)))),
    };
  });

const cases = {
  'a person signs in with the keyboard alone, and the program learns who it is': async () => {
    const p = await program();
    const { page, seen } = await open();
    await page.goto(p.url);
    assert.equal(await page.title(), 'Sign in – Countersign');
    assert.ok(await page.getByText(p.origin.slice('http://'.length)).isVisible(), 'where it goes afterwards');
    await picture(page, 'sign-in-wide-light');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'name');
    await page.keyboard.type('ana');
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    const tokens = await p.tokens();
    assert.equal(tokens.claims().preferred_username, 'ana');
    await page.getByText('back at the program').waitFor();
    assert.deepEqual([...seen.asked].sort(), [issuer, p.origin].sort(), 'nobody else is asked for anything');
    assert.deepEqual(seen.complaints, []);
    p.end();
  },
  'a wrong password is told, and can be put right': async () => {
    const p = await program();
    const { page } = await open({ viewport: NARROW });
    await page.goto(p.url);
    await typeIn(page, 'ana', 'not the password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    const alert = page.getByRole('alert');
    assert.equal(await alert.textContent(), 'The name or the password is wrong.');
    assert.equal(await page.getByLabel('Name').inputValue(), 'ana');
    assert.equal(await page.getByLabel('Password').inputValue(), '');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
    await fitsInWidth(page);
    await picture(page, 'wrong-narrow-light');
    await typeIn(page, 'nobody', 'not the password');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.getElementById('name').value === 'nobody');
    assert.equal(await alert.textContent(), 'The name or the password is wrong.', 'the same for a name that is not there');
    await typeIn(page, 'ana', password);
    await page.keyboard.press('Enter');
    assert.equal((await p.tokens()).claims().preferred_username, 'ana');
    p.end();
  },
  'every page fits into 320 px and can be read, light and dark': async () => {
    const p = await program();
    const asked = await client.initiateDeviceAuthorization(cli, { scope: 'openid' });
    const grounds = new Set();
    for (const colorScheme of ['light', 'dark']) {
      const { page, seen } = await open({ viewport: NARROW, colorScheme });
      const look = async (name) => {
        await fitsInWidth(page);
        const { text, edge } = await contrasts(page);
        assert.ok(text >= TEXT_CONTRAST_MIN && edge >= EDGE_CONTRAST_MIN, `${name}, ${colorScheme}: text ${text}, edges ${edge}`);
        grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        await picture(page, `${name}-narrow-${colorScheme}`);
      };
      await page.goto(p.url);
      await look('sign-in');
      await typeIn(page, 'ana', `wrong in ${colorScheme}`);
      await page.keyboard.press('Enter');
      await page.getByRole('alert').waitFor();
      await look('wrong');
      await page.goto(`${issuer}/device`);
      await look('device-code');
      await page.getByLabel('Code').fill(asked.user_code);
      await page.getByRole('button', { name: 'Go on' }).click();
      await page.getByText('Code on the device').waitFor();
      await look('device-confirm');
      await page.goto(`${issuer}/authorize?client_id=nobody`);
      await page.getByRole('alert').waitFor();
      await look('problem');
      const refusals = seen.complaints.filter((c) => !c.includes('status of 40'));
      assert.deepEqual(refusals, [], 'the policy refuses nothing of our own');
    }
    assert.equal(grounds.size, 2);
    p.end();
  },
  'a device is signed in, after its code and its address were shown': async () => {
    const asked = await client.initiateDeviceAuthorization(cli, { scope: 'openid profile' });
    const polling = client.pollDeviceAuthorizationGrant(cli, asked);
    const { page } = await open({ viewport: NARROW, colorScheme: 'dark' });
    await page.goto(asked.verification_uri);
    await page.getByLabel('Code').fill('bbbb-bbbb');
    await page.keyboard.press('Enter');
    assert.match(await page.getByRole('alert').textContent(), /There is no such code/);
    await picture(page, 'device-wrong-code-narrow-dark');
    await page.getByLabel('Code').fill(asked.user_code.toLowerCase().replace('-', ''));
    await page.keyboard.press('Enter');
    await page.getByText('Code on the device').waitFor();
    const shown = await page.locator('main').innerText();
    for (const told of ['countersign-cli', '127.0.0.1 (the same as yours)', 'less than a minute ago', asked.user_code]) {
      assert.ok(shown.includes(told), `${told} in ${shown}`);
    }
    await typeIn(page, 'bo', password);
    await page.getByRole('button', { name: 'Sign in and allow' }).click();
    assert.match(await page.getByRole('status').textContent(), /is signed in/);
    await picture(page, 'device-done-narrow-dark');
    assert.equal((await polling).claims().preferred_username, 'bo');
  },
  'a person may refuse, without a password': async () => {
    const p = await program();
    const { page } = await open();
    await page.goto(p.url);
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.equal((await p.calledBack).searchParams.get('error'), 'access_denied');
    const asked = await client.initiateDeviceAuthorization(cli, { scope: 'openid' });
    await page.goto(asked.verification_uri_complete);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByRole('button', { name: 'Refuse' }).click();
    assert.match(await page.getByRole('status').textContent(), /was refused/);
    await assert.rejects(client.pollDeviceAuthorizationGrant(cli, asked), (e) => e.error === 'access_denied');
    p.end();
  },
  'two pages at once both work, and so does the way back': async () => {
    const [one, two] = [await program(), await program()];
    const { page } = await open();
    const other = await page.context().newPage();
    await page.goto(one.url);
    await other.goto(two.url);
    await typeIn(page, 'ana', password);
    await page.keyboard.press('Enter');
    assert.ok(await one.tokens());
    await typeIn(other, 'bo', password);
    await other.keyboard.press('Enter');
    assert.equal((await two.tokens()).claims().preferred_username, 'bo');
    one.end();
    two.end();
  },
  'adv_079 another site can neither frame the page nor send its form': async () => {
    const p = await program();
    const { page } = await open();
    await page.goto(p.url);
    const token = await page.locator('input[name=form]').inputValue();
    const evil = createServer((request, response) => {
      response.setHeader('content-type', 'text/html');
      const fields = { form: token, name: 'ana', password, answer: 'allow' };
      const inputs = Object.entries(fields).map(([n, v]) => `<input name="${n}" value="${v}">`).join('');
      const form = `<form method="post" action="${p.url.replaceAll('&', '&amp;')}">${inputs}<button>win</button></form>`;
      response.end(`<!doctype html><title>evil</title><iframe src="${p.url.replaceAll('&', '&amp;')}"></iframe>${form}`);
    });
    await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
    // The same machine under another name is another site, but the browser has the cookie all the same when it is the same host.
    for (const host of ['localhost', '127.0.0.1']) {
      await page.goto(`http://${host}:${evil.address().port}/`);
      await page.waitForLoadState('networkidle');
      const framed = page.frames().filter((f) => f.parentFrame());
      const texts = await Promise.all(framed.map((f) => f.locator('body').innerText().catch(() => '')));
      assert.ok(framed.length === 1 && !texts.some((t) => t.includes('Password')), `${host}: ${texts}`);
      await page.getByRole('button', { name: 'win' }).click();
      assert.match(await page.getByRole('alert').textContent(), /cookies are switched off/, host);
      assert.equal(new URL(page.url()).origin, issuer, host);
    }
    evil.close();
    p.end();
  },
};

let [good, bad] = [0, 0];
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    good += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    bad += 1;
    console.log(`not ok ${name}\n${error.stack ?? error}`);
  }
}
await browser.close();
console.log(`${good} passed, ${bad} failed`);
process.exit(bad ? 1 : 0);
