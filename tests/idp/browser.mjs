// A person at a real browser (chromium, driven by npm playwright-core). Reads one JSON line for each page to open, {"page", "login",
// "code"?}, signs in there whatever is asked, and answers with one JSON line: {"title", "text", "address"} of the page that it ended on, or
// {"error"}. CHROMIUM is the browser's program.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

// Type the code, confirm it, sign in, consent, arrive: with room to spare.
const PAGES_MAX = 10;
const DONE = /^(Sign-in Success|Logged in|Countersign)/;

// Chromium's own sandbox does not run as root. Nobody but this machine is asked for anything.
const args = ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'];
if (process.getuid() === 0) args.push('--no-sandbox');
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });

const signIn = async ({ page: address, login, code }) => {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(address);
    const provider = new URL(address).origin;
    for (let seen = 0; seen < PAGES_MAX; seen += 1) {
      if (new URL(page.url()).origin !== provider || DONE.test(await page.title())) break;
      const field = (name) => page.locator(`input[name=${name}]:visible`);
      if (await field('login').count()) {
        await field('login').fill(login);
        await field('password').fill('any will do');
      } else if (await field('user_code').count()) {
        await field('user_code').fill(code);
      } else if (!(await page.locator('button[type=submit]').count())) {
        break;
      }
      await Promise.all([page.waitForEvent('load'), page.locator('button[type=submit]').first().click()]);
    }
    return { title: await page.title(), text: await page.locator('body').innerText(), address: page.url() };
  } finally {
    await context.close();
  }
};

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await signIn(JSON.parse(line)).catch((error) => ({ error: String(error.stack ?? error) }));
  console.log(JSON.stringify(answer));
}
await browser.close();
