// Pages that change while they are open, told by server-sent events, and who is told nothing.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { PASSWORD, until } from './world.mjs';

const EVENTS = { accept: 'text/event-stream', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };
const STREAMS_PER_CALLER_MAX = 8;
const NOWHERE = '01JGV2XJ8E0000000000000000';

export const live = ({ test, world, base, signIn, cookie, run, review, people }) => {
  const as = async (who) => ({ cookie: `__Host-countersign=${(await cookie(who.context)).value}`, ...EVENTS });
  // Everything that a stream says until something comes, or it ends.
  const stream = async (path, headers) => {
    const stop = new AbortController();
    const answer = await run(path, { headers, signal: stop.signal });
    const heard = { status: answer.status, said: '', ended: false, close: () => stop.abort() };
    (async () => {
      for await (const part of answer.body) heard.said += Buffer.from(part);
    })().catch(() => {}).finally(() => (heard.ended = true));
    return heard;
  };
  // A page that is loaded anew has forgotten this.
  const mark = (page) => page.evaluate(() => (window.loadedOnce = true));
  const same = (page) => page.evaluate(() => window.loadedOnce === true);

  test('the timeline of a running session grows while it is looked at, and says when it ended', async () => {
    const { page } = people.otto;
    const talk = world.talk('dora');
    talk.say('select 1 /* live zero */');
    await until('it speaks', () => talk.said.includes('1'));
    await page.goto(`${base}/console/sessions?identity=dora&target=shop`);
    await page.locator('tbody tr', { has: page.locator('.state.live') }).locator('a').first().click();
    const life = page.locator('.life');
    await life.getByText('/* live zero */').waitFor();
    await mark(page);
    // What somebody is at meanwhile stays as it is.
    await page.getByText('Cut it off').click();
    await page.getByLabel('Why').fill('half a reas');
    for (const word of ['one', 'two', 'three']) {
      talk.say(`select '${word}' /* live ${word} */`);
      await life.getByText(`/* live ${word} */`).waitFor({ timeout: 20_000 });
    }
    assert.equal(await page.getByLabel('Why').inputValue(), 'half a reas');
    assert.equal(await page.locator('#state .state').textContent(), 'live');
    talk.end();
    await talk.ended;
    await page.locator('#state .state', { hasText: 'ended' }).waitFor({ timeout: 20_000 });
    await until('it is not watched any more', () => page.evaluate(() => !document.querySelector('[data-live]')));
    assert.ok(await same(page), 'the page was loaded anew');
  });

  test('a review comes to the open inbox and overview by itself, and goes when somebody answers', async () => {
    const rita = people.rita.page;
    await rita.goto(`${base}/console/inbox`);
    const overview = await people.rita.context.newPage();
    await overview.goto(`${base}/console`);
    const waits = async () => Number(await overview.locator('.tile .figure').first().textContent());
    const before = await waits();
    await mark(rita);
    await mark(overview);
    const held = world.psql('dora', "update orders set status = 'y' /* by itself */ where id = 7");
    await review(overview, '/* by itself */').waitFor({ timeout: 30_000 });
    assert.equal(await waits(), before + 1);
    assert.match(await overview.locator('#to-inbox .badge').textContent(), new RegExp(`^${before + 1} `));
    await rita.bringToFront();
    await review(rita, '/* by itself */').waitFor({ timeout: 30_000 });
    await review(rita, '/* by itself */').focus();
    const id = (await review(rita, '/* by itself */').getAttribute('href')).split('/').pop();
    assert.equal(world.command('rita', ['reviews', 'comment', id, '--comment', 'who is this?']).code, 0);
    assert.equal(world.command('rita', ['reviews', 'deny', id, '--comment', 'nobody']).code, 0);
    await review(rita, '/* by itself */').waitFor({ state: 'detached', timeout: 30_000 });
    assert.ok((await same(rita)) && (await same(overview)), 'a page was loaded anew');
    await overview.close();
    await held.ended;
  });

  test('without a script a page is what it was when it was loaded', async () => {
    const { page, context } = await signIn('rita', { javaScriptEnabled: false });
    await page.goto(`${base}/console/inbox`);
    await page.getByRole('heading', { name: 'Inbox' }).waitFor();
    await context.close();
  });

  test('adv: only a page of this site is told anything', async () => {
    const { otto } = people;
    const mine = await as(otto);
    for (const [what, headers, status] of [
      ['another site', { ...mine, 'sec-fetch-site': 'cross-site' }, 403],
      ['a sibling site', { ...mine, 'sec-fetch-site': 'same-site' }, 403],
      ['another origin', { ...mine, 'sec-fetch-site': '', origin: 'https://evil.example' }, 403],
      ['no origin', { accept: mine.accept, cookie: mine.cookie, origin: 'null' }, 403],
      ['a window', { ...mine, 'sec-fetch-mode': 'navigate', accept: 'text/html,*/*' }, 403],
      ["another site's window", { ...mine, 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'cross-site' }, 403],
      ['nobody', EVENTS, 303],
      ['a cookie of nobody', { ...EVENTS, cookie: `__Host-countersign=${'0'.repeat(26)}.${'a'.repeat(43)}` }, 303],
    ]) {
      const heard = await stream('/console/events', headers);
      assert.equal(heard.status, status, what);
      assert.doesNotMatch(heard.said, /event:/, what);
      heard.close();
    }
    const fine = await stream('/console/events', mine);
    assert.equal(fine.status, 200);
    await until('it is told', () => fine.said.includes('event: ready'));
    fine.close();
    const evil = createServer((request, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>evil</title>');
    });
    await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
    const page = await otto.context.newPage();
    await page.goto(`http://127.0.0.1:${evil.address().port}/`);
    for (const path of ['/console/events', '/v1/events']) {
      const heard = await page.evaluate((url) => new Promise((resolve) => {
        const source = new EventSource(url, { withCredentials: true });
        source.addEventListener('ready', () => resolve('heard'));
        source.onopen = () => resolve('opened');
        source.onerror = () => resolve('refused');
      }), `${base}${path}`);
      assert.equal(heard, 'refused', path);
    }
    await page.close();
    evil.close();
  });

  test('adv: who may not look at a session is not told that it grows, nor whether it is there', async () => {
    const { page } = people.otto;
    await page.goto(`${base}/console/sessions?identity=dora&target=shop`);
    const id = (await page.locator('tbody a').first().getAttribute('href')).split('/').pop();
    const nils = await signIn('nils');
    const mine = await as(nils);
    for (const session of [id, NOWHERE]) {
      const heard = await stream(`/console/events?session=${session}`, mine);
      assert.equal(heard.status, 403, session);
      heard.close();
    }
    assert.equal((await stream(`/console/events?session=${NOWHERE}`, await as(people.otto))).status, 404);
    // Of sessions, locks and reviews that are not theirs they hear nothing.
    const heard = await stream('/console/events', mine);
    await until('it begins', () => heard.said.includes('event: ready'));
    const held = world.psql('dora', "update orders set status = 'z' /* not theirs */ where id = 8");
    await until('others hear of it', async () => {
      await people.rita.page.goto(`${base}/console/inbox`);
      return review(people.rita.page, '/* not theirs */').count();
    }, 60_000);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.doesNotMatch(heard.said, /review\.|session\.|lock\./);
    heard.close();
    held.kill();
    await nils.context.close();
  });

  test('adv: a page of somebody whose account ends is told nothing more, and goes away', async () => {
    world.operate(['accounts', 'add', 'vera', '--group=reviewers', '--secret-stdin'], PASSWORD);
    const vera = await signIn('vera');
    await vera.page.goto(`${base}/console/inbox`);
    const heard = await stream('/console/events', await as(vera));
    await until('it begins', () => heard.said.includes('event: ready'));
    world.operate(['accounts', 'disable', 'vera']);
    const held = world.psql('dora', "update orders set status = 'w' /* after vera */ where id = 9");
    await until('it ends', () => heard.ended, 30_000);
    assert.doesNotMatch(heard.said, /review\.changed/);
    await vera.page.waitForURL(/sign-in/, { timeout: 30_000 });
    assert.doesNotMatch(await vera.page.content(), /after vera/);
    held.kill();
    await vera.context.close();
  });

  test('adv: one person opens so many streams and no more, and gets the places back', async () => {
    const nils = await signIn('nils');
    // No page of theirs that has a stream of its own.
    await nils.page.goto(`${base}/console/targets`);
    const mine = await as(nils);
    const full = async () => {
      const all = [];
      for (let n = 0; n < STREAMS_PER_CALLER_MAX; n++) all.push(await stream('/console/events', mine));
      return all;
    };
    await until('the places are free', async () => {
      const all = await full();
      const fits = all.every((one) => one.status === 200);
      if (!fits) for (const one of all) one.close();
      else nils.streams = all;
      return fits;
    }, 60_000);
    const more = await stream('/console/events', mine);
    assert.equal(more.status, 429);
    // Somebody else is not kept out by them.
    const other = await stream('/console/events', await as(people.otto));
    assert.equal(other.status, 200);
    other.close();
    for (const one of nils.streams) one.close();
    await until('a place is free', async () => {
      const one = await stream('/console/events', mine);
      one.close();
      return one.status === 200;
    }, 60_000);
    await nils.context.close();
  });

  test('an overview leaves no refusal on the record of who may not look', async () => {
    const refused = () => {
      const said = world.operate(['sessions', 'list', '--target', 'countersign', '--identity', 'nils', '--output', 'json']);
      return JSON.parse(said).sessions.filter((s) => s.denied > 0).length;
    };
    const nils = await signIn('nils');
    const before = refused();
    for (let n = 0; n < 3; n++) await nils.page.goto(`${base}/console`);
    assert.match(await nils.page.locator('main').textContent(), /No rule lets you see this \(sessions\.list\)/);
    assert.equal(refused(), before);
    // The control: what they ask for by themselves is refused on the record.
    await nils.page.goto(`${base}/console/sessions`);
    assert.equal(refused(), before + 1);
    await nils.context.close();
  });
};
