// The SQL console in the browser: the same gate as psql's, results with masked cells marked, reviews, locks, exports, and what must not be
// possible.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { PASSWORD, until } from './world.mjs';

export const sql = ({ test, world, base, signIn, csrf, sound, hostile }) => {
  const mine = {};
  const out = (page) => page.locator('#out');
  const session = async (page, target = 'shop') => {
    await page.goto(`${base}/console/sql`);
    await page.getByLabel('Target').selectOption(target);
    await page.getByRole('button', { name: 'Open a session' }).click();
    await page.getByLabel('Statement').waitFor();
    return page.url().split('/').pop();
  };
  const run = async (page, text, button = 'Run') => {
    await page.getByLabel('Statement').fill(text);
    await Promise.all([page.waitForNavigation(), page.getByRole('button', { name: button, exact: true }).click()]);
    await page.locator('#out:not([hx-get])').waitFor({ timeout: 60_000 });
  };
  const rows = (page) => page.locator('table.cells tbody tr').evaluateAll((all) => all.map((tr) => [...tr.cells].map((c) => c.textContent)));
  const post = (page, path, fields) => page.evaluate(async ([path, fields]) => (await fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })).status, [path, fields]);
  // The recorded session behind a page, as an operator reads it.
  const recorded = async (page) => world.operate(['sessions', 'show', await page.locator('h1 + form code').textContent()]);

  test('sql: an analyst sees masked cells marked, a DBA sees them in clear, and both are recorded as their sessions', async () => {
    for (const name of ['sara', 'sven', 'wilma', 'rudi']) mine[name] = await signIn(name);
    const text = "select id, email, card_number, null as nothing, 'NULL' as text from customers order by id limit 3";
    const { sara, sven } = mine;
    for (const who of [sara, sven]) {
      who.id = await session(who.page);
      await run(who.page, text);
    }
    const clear = await rows(sven.page);
    const masked = await rows(sara.page);
    assert.equal(clear.length, 3);
    assert.equal(await sven.page.locator('td.masked').count(), 0);
    assert.match(clear[0][1], /@/);
    assert.match(clear[0][2], /^\d{16}$/);
    assert.equal(await sara.page.locator('td.masked').count(), 6);
    for (const [n, row] of masked.entries()) {
      assert.equal(row[0], clear[n][0]);
      assert.match(row[1], /^masked /);
      assert.notEqual(row[1].replace('masked ', ''), clear[n][1]);
      assert.equal(row[2].slice(-4), clear[n][2].slice(-4));
      assert.ok(!row[2].includes(clear[n][2]));
    }
    assert.match(await sara.page.locator('thead').textContent(), /email\s*masked: hash, pii\.email/);
    assert.match(await sara.page.locator('thead').textContent(), /card_number\s*masked: last4, pii\.card/);
    // Null is told apart from a text that says so.
    assert.deepEqual(await sara.page.locator('tbody tr').first().locator('td:nth-child(n+4)').evaluateAll((all) => all.map((c) => c.querySelector('.null') !== null)), [true, false]);
    assert.match(await out(sara.page).textContent(), /SELECT 3 · 3 rows/);
    await sound(sara.page, 'sql-masked');
    const story = await recorded(sara.page);
    for (const part of [/sara/, /shop/, /postgres/, /127\.0\.0\.1/, /countersign console/, /select id, email/]) assert.match(story, part);
    assert.ok(!story.includes(clear[0][1]) && !(await sara.page.content()).includes(clear[0][1]));
  });

  test('sql: what is found in content is marked cell by cell, and long results say what part is here', async () => {
    const { sara, sven } = mine;
    await run(sven.page, 'select n, n * 2 as twice from generate_series(1, 5000) n');
    assert.match(await out(sven.page).textContent(), /Not all rows are here/);
    assert.match(await out(sven.page).textContent(), /rows 1 to 50 of the first 1000 that are kept; there are 5000/);
    await sven.page.getByRole('link', { name: 'More rows' }).click();
    assert.equal((await rows(sven.page))[0][0], '51');
    assert.equal(await post(sven.page, `/console/sql/${sven.id}/csv`, { csrf: await csrf(sven.page) }), 409);
    // Several statements in one text, each with its result; a mistake in the target's words, with its place.
    await run(sara.page, 'select 1 as one; select email from customers limit 1; select 2 as two');
    assert.equal(await sara.page.locator('table.cells').count(), 3);
    assert.equal(await sara.page.locator('td.masked').count(), 1);
    assert.equal(await sara.page.locator('table.cells').nth(1).locator('td.masked').count(), 1);
    await run(sara.page, 'selec 1');
    assert.match(await sara.page.getByRole('alert').textContent(), /syntax error[^]*42601[^]*at character 1/);
  });

  test('sql: a refused question names its rule and how to ask', async () => {
    const { sara } = mine;
    for (const [text, rule] of [
      ["select count(*) from customers where card_number like '4%'", /pii\.card/],
      ["update orders set status = 'paid' where id = 1", /analysts-only-read/],
      ["select name, iban from staff", /personal-numbers-stay/],
    ]) {
      await run(sara.page, text);
      const said = await sara.page.getByRole('alert').textContent();
      assert.match(said, rule, text);
      assert.match(said, /#data-access/, text);
      assert.equal(await sara.page.locator('table.cells').count(), 0);
      assert.match(await sara.page.getByRole('link', { name: 'Ask for access' }).getAttribute('href'), /grants\/new\?target=shop/);
    }
    await sound(sara.page, 'sql-refused');
  });

  test('sql: a held statement waits, is approved in another browser, and shows its result once', async () => {
    const { wilma, rudi } = mine;
    wilma.id = await session(wilma.page);
    const text = "update orders set note = coalesce(note, '') || 'x' /* held */ where id = 9 returning id";
    const note = () => world.read('ana', 'select length(note) from orders where id = 9') || '0';
    const before = Number(note());
    await wilma.page.getByLabel('Statement').fill(text);
    await wilma.page.getByRole('button', { name: 'Run', exact: true }).click();
    await wilma.page.getByText('waits for people').waitFor();
    await wilma.page.getByText(/must approve it before \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC:/).waitFor();
    await sound(wilma.page, 'sql-waiting');
    const review = await wilma.page.getByRole('link', { name: 'the review' }).getAttribute('href');
    // A second one is not taken meanwhile, by no way.
    assert.equal(await post(wilma.page, `/console/sql/${wilma.id}/run`, { csrf: await csrf(wilma.page), statement: 'select 1' }), 409);
    await rudi.page.goto(`${base}${review}`);
    assert.match(await rudi.page.locator('pre.statement').textContent(), /\/\* held \*\//);
    await rudi.page.getByRole('button', { name: 'Approve' }).click();
    await rudi.page.getByText('Approved. It goes on').waitFor();
    // The page comes to it by itself.
    await wilma.page.locator('#out:not([hx-get])').waitFor({ timeout: 60_000 });
    assert.match(await out(wilma.page).textContent(), /UPDATE 1/);
    assert.deepEqual(await rows(wilma.page), [['9']]);
    await wilma.page.reload();
    assert.equal(Number(note()), before + 1, 'it ran once');
    // One that is cancelled does not run, whatever is said later.
    await wilma.page.getByLabel('Statement').fill(text);
    await wilma.page.getByRole('button', { name: 'Run', exact: true }).click();
    await wilma.page.getByText('waits for people').waitFor();
    const other = await wilma.page.getByRole('link', { name: 'the review' }).getAttribute('href');
    await wilma.page.getByRole('button', { name: 'Cancel the statement' }).click();
    await wilma.page.locator('#out:not([hx-get])').waitFor({ timeout: 60_000 });
    assert.match(await wilma.page.getByRole('alert').textContent(), /cancel/i);
    await rudi.page.goto(`${base}${other}`);
    assert.equal(await rudi.page.getByRole('button', { name: 'Approve' }).count(), 0);
    assert.equal(Number(note()), before + 1);
  });

  test('sql: it works without a script, and a long statement is cancelled', async () => {
    const plain = await signIn('sven', { javaScriptEnabled: false });
    await session(plain.page);
    await plain.page.getByLabel('Statement').fill('select 7 as seven');
    await plain.page.getByRole('button', { name: 'Run', exact: true }).click();
    assert.deepEqual(await rows(plain.page), [['7']]);
    await plain.page.getByLabel('Statement').fill('select count(*) from generate_series(1, 100000000000)');
    await plain.page.getByRole('button', { name: 'Run', exact: true }).click();
    await plain.page.getByRole('button', { name: 'Cancel the statement' }).click();
    assert.match(await plain.page.getByRole('alert').textContent(), /canceling statement due to user request/);
    await plain.page.getByRole('button', { name: 'Close the session' }).click();
    assert.match(await plain.page.locator('main').textContent(), /over you closed it/);
    await plain.context.close();
  });

  test('sql: an export is whole, no spreadsheet runs it, and its rows are counted in the record', async () => {
    const { sven, sara } = mine;
    const take = async (page) => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download as CSV' }).click()]);
      assert.match(download.suggestedFilename(), /^countersign-[0-9A-Z]{26}\.csv$/);
      return readFileSync(await download.path(), 'utf8');
    };
    await run(sven.page, "select n, '=cmd|'' /C calc''!A0' as formula, case when n = 1 then null else '' end as nothing from generate_series(1, 3000) n", 'Run to export');
    const csv = await take(sven.page);
    const lines = csv.split('\r\n');
    assert.equal(lines.length, 3002);
    assert.deepEqual(lines.slice(0, 3), ['"n","formula","nothing"', `"1","'=cmd|' /C calc'!A0",`, `"2","'=cmd|' /C calc'!A0",""`]);
    assert.match(await recorded(sven.page), /3000 rows/);
    const acts = JSON.parse(world.operate(['sessions', 'list', '--target', 'countersign', '--identity', 'sven', '--output', 'json'])).sessions;
    assert.ok(acts.slice(0, 5).some((s) => /sql\.export[^]*3000/.test(world.operate(['sessions', 'show', s.id ?? s.session]))), 'the export is on the record');
    await run(sara.page, 'select email from customers order by id limit 2');
    assert.match(await take(sara.page), /^"email \(masked\)"\r\n/);
    // What is run is recorded where it runs, and nowhere else.
    const [last] = JSON.parse(world.operate(['sessions', 'list', '--target', 'countersign', '--identity', 'sara', '--output', 'json'])).sessions;
    assert.ok(!world.operate(['sessions', 'show', last.id ?? last.session]).includes('select email'));
  });

  test('sql: adv: what is stored acts on no page', async () => {
    const { page, seen } = mine.sven;
    await run(page, `select '${hostile.replaceAll("'", "''")}' as "<img src=x onerror=alert(9)>"`);
    const shown = (await rows(page))[0][0];
    assert.match(shown, /<script>alert\(2\)<\/script>/);
    assert.ok(shown.includes('\\u{202e}'));
    assert.equal(await page.locator('main img, main script, main [onmouseover]').count(), 0);
    assert.equal(seen.dialogs, 0);
    await page.getByLabel('Statement').fill(`select 1 /* </textarea><script>alert(4)</script> */`);
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    assert.match(await page.getByLabel('Statement').inputValue(), /<\/textarea>/);
    assert.equal(seen.dialogs, 0);
  });

  test('sql: adv: nobody gets in from the network, without Connect, as somebody else, or by a form of another site', async () => {
    const { sara, sven } = mine;
    // The way in has no address and no secret: who says that they come from it is nobody.
    const where = (user, more) => `host=localhost port=${world.port} dbname=shop user=${user} sslmode=require ${more}`;
    for (const more of ["application_name='countersign console'", "password=''", `password=${sara.id}`, `password='${PASSWORD}'`]) {
      const tried = spawnSync('psql', [where('sara', more), '-w', '-X', '-c', 'select 1'], { env: world.environment('thief'), encoding: 'utf8' });
      assert.notEqual(tried.status, 0, more);
      assert.doesNotMatch(tried.stdout, /1 row/);
    }
    // The operations are for pages alone: no token does them.
    const token = world.operate(['token', 'sara']).trim();
    for (const [method, path, body] of [['GET', '/v1/sql'], ['POST', '/v1/sql', '{"target":"shop"}'], ['GET', `/v1/sql/${sara.id}`], ['POST', `/v1/sql/${sara.id}/run`, '{"statement":"select 1"}'], ['POST', `/v1/sql/${sara.id}/export`, '']]) {
      const headers = { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) };
      assert.equal((await fetch(`${base}${path}`, { method, headers, body: body || undefined })).status, 403, `${method} ${path}`);
    }
    // Without Connect there is nothing to choose, and asking by hand is refused as any client is.
    const nobody = (mine.uwe = await signIn('uwe'));
    await nobody.page.goto(`${base}/console/sql`);
    assert.equal(await nobody.page.getByLabel('Target').count(), 0);
    const token1 = await csrf(nobody.page);
    assert.equal(await post(nobody.page, '/console/sql', { csrf: token1, target: 'shop' }), 403);
    assert.equal(await post(nobody.page, '/console/sql', { csrf: token1, target: 'web-1' }), 403);
    assert.equal(await post(nobody.page, '/console/sql', { csrf: token1, target: 'nowhere' }), 403);
    // Somebody else's session is not there, and neither is one's own in another sign-in.
    const again = await signIn('sara');
    for (const { page } of [sven, again]) {
      assert.equal((await page.goto(`${base}/console/sql/${sara.id}`)).status(), 404);
      for (const verb of ['run', 'cancel', 'close', 'csv']) {
        await page.goto(`${base}/console/sql`);
        assert.equal(await post(page, `/console/sql/${sara.id}/${verb}`, { csrf: await csrf(page), statement: 'select 1' }), 404, verb);
      }
    }
    await again.context.close();
    // No form but ours.
    for (const fields of [{ target: 'shop' }, { csrf: 'x', target: 'shop' }, { csrf: token1, target: 'shop' }]) {
      assert.equal(await post(sven.page, '/console/sql', fields), 403);
    }
    assert.equal(await post(sara.page, `/console/sql/${sara.id}/run`, { statement: 'select 1' }), 403);
  });

  test('sql: a person has so many sessions and no more', async () => {
    const writers = mine.wilma.page;
    await writers.goto(`${base}/console/sql`);
    const token = await csrf(writers);
    const made = [];
    for (let n = 0; n < 9; n++) made.push(await post(writers, '/console/sql', { csrf: token, target: 'shop' }));
    // A redirect that is not followed has no status of its own.
    assert.deepEqual([made.filter((s) => s === 0).length, made.at(-1)], [7, 409], JSON.stringify(made));
  });

  test('sql: a lock cuts it off, what came in it is gone, and signing out ends it', async () => {
    const { sara, wilma, sven } = mine;
    await sara.page.goto(`${base}/console/sql/${sara.id}`);
    await run(sara.page, 'select 4711 as kept');
    const code = await sara.page.locator('h1 + form code').textContent();
    const lock = JSON.parse(world.operate(['locks', 'add', '--session', code, '--reason', 'a test', '--output', 'json'])).locks[0].id;
    await until('it is cut', async () => {
      await sara.page.goto(`${base}/console/sql/${sara.id}`);
      return /This session is over/.test(await sara.page.locator('main').textContent());
    }, 30_000);
    assert.match(await sara.page.getByRole('alert').textContent(), /locked out|lock/);
    assert.ok(!(await sara.page.content()).includes('4711</td>'));
    world.operate(['locks', 'remove', lock, '--reason', 'over']);
    // A sign-out ends what was opened by it.
    const live = () => JSON.parse(world.operate(['sessions', 'list', '--target', 'shop', '--identity', 'wilma', '--output', 'json'])).sessions.filter((s) => s.state === 'live');
    assert.notEqual(live().length, 0);
    await wilma.page.goto(`${base}/console`);
    await wilma.page.getByRole('button', { name: 'Sign out' }).click();
    await until('what was opened is over', () => live().length === 0, 30_000);
    for (const { context } of [sara, wilma, sven, mine.rudi, mine.uwe]) await context.close();
  });
};
