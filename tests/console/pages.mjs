// Targets, tags, grants and settings in the browser: each page's main job, and what must not be possible.
import assert from 'node:assert/strict';

export const pages = ({ test, world, base, signIn, csrf, people }) => {
  const reads = (who) => {
    try {
      return world.read(who, 'select count(*) from orders') !== '';
    } catch {
      return false;
    }
  };
  const mine = {};
  const names = (page) => page.locator('main h2').allTextContents();

  test('everybody sees the targets that are theirs, how to connect, and what they may do', async () => {
    const ana = (mine.ana = await signIn('olga'));
    await ana.page.goto(`${base}/console/targets`);
    assert.match(await ana.page.locator('main').textContent(), /countersign connect shop -- psql/);
    assert.match(await ana.page.locator('main').textContent(), /psql "host=localhost port=\d+ dbname=shop user=olga sslmode=verify-full/);
    await ana.page.getByText('What you may do there').first().click();
    assert.match(await ana.page.locator('tbody').first().textContent(), /connect\s*people-connect/);
    assert.match(await ana.page.locator('tbody').first().textContent(), /order-changes-need-two/);
    // Nobody learns of what is not theirs to use or to ask for.
    const nils = (mine.nils = await signIn('nils'));
    await nils.page.goto(`${base}/console/targets`);
    assert.deepEqual((await names(nils.page)).map((n) => n.split(' ')[0]), ['shop']);
    const all = await nils.page.goto(`${base}/console/targets?everybody=true`);
    assert.equal(all.status(), 403);
    assert.doesNotMatch(await nils.page.locator('main').textContent(), /shop|web-1/);
    await ana.page.goto(`${base}/console/targets?everybody=true`);
    assert.ok((await names(ana.page)).length >= 1);
  });

  test('access is asked for, given by somebody else, used, and ended', async () => {
    const { page } = mine.nils;
    assert.ok(!reads('nils'));
    await page.goto(`${base}/console/targets`);
    await page.getByRole('link', { name: 'Ask for access' }).click();
    await page.getByRole('checkbox', { name: 'connect' }).check();
    await page.getByRole('checkbox', { name: 'read' }).check();
    await page.getByLabel('Why').fill('a campaign <b>soon</b>');
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.getByText('Asked. It begins when').waitFor();
    assert.match(await page.locator('.grant').first().textContent(), /requested\s*nils\s*connect, read\s*on\s*shop[^]*a campaign <b>soon<\/b>/);
    assert.ok(!reads('nils'), 'what was asked for is not given');
    const review = await page.getByRole('link', { name: 'the review' }).first().getAttribute('href');
    const { rita } = people;
    await rita.page.goto(`${base}${review}`);
    await rita.page.getByRole('button', { name: 'Approve' }).click();
    await rita.page.getByText('Approved. It goes on').waitFor();
    assert.ok(reads('nils'));
    // Nobody ends what is not theirs, and an admin ends what is anybody's.
    const hers = await csrf(rita.page);
    const id = review.split('/').pop();
    const status = await rita.page.evaluate(async ([path, body]) => (await fetch(path, { method: 'POST', body: new URLSearchParams(body), redirect: 'manual' })).status,
      [`/console/grants/${id}/revoke`, { csrf: hers, reason: 'x', everybody: 'true' }]);
    assert.equal(status, 403);
    await page.goto(`${base}/console/grants`);
    await page.locator('.grant summary').first().click();
    await page.locator('.grant').first().getByLabel('Why').fill('done');
    await page.getByRole('button', { name: 'End this grant' }).click();
    await page.getByText('Ended. The sessions').waitFor();
    assert.ok(!reads('nils'));
    await page.goto(`${base}/console/grants?all=true`);
    assert.match(await page.locator('.grant').first().textContent(), /ended by nils[^]*done/);
    // What no rule offers is told as such.
    await page.goto(`${base}/console/grants/new?target=shop`);
    await page.getByRole('checkbox', { name: 'admin' }).check();
    await page.getByLabel('Why').fill('everything');
    await page.getByRole('button', { name: 'Ask' }).click();
    assert.match(await page.getByRole('alert').textContent(), /no rule offers you admin on shop/);
    assert.equal(await page.getByLabel('Why').inputValue(), 'everything');
  });

  test('the rules about tags are shown with where they come from, to those who may look', async () => {
    const { otto } = people;
    await otto.page.goto(`${base}/console/tags`);
    assert.match(await otto.page.locator('main').textContent(), /pii\.email[^]*configuration/);
    assert.equal((await mine.nils.page.goto(`${base}/console/tags`)).status(), 403);
  });

  test('a key is told once, works for what it is for alone, and ends', async () => {
    const { page } = people.otto;
    const ask = async (path, key) => (await fetch(`${base}${path}`, { headers: { authorization: `Bearer ${key}` } })).status;
    await page.goto(`${base}/console/settings`);
    await page.getByLabel('Name').fill('nightly');
    await page.getByLabel('policies.show').check();
    await page.getByRole('button', { name: 'Make a key' }).click();
    const key = await page.locator('#secret').textContent();
    assert.match(key, /^csk_/);
    assert.deepEqual([await ask('/v1/policies', key), await ask('/v1/locks', key)], [200, 403]);
    await page.goto(`${base}/console/settings`);
    assert.equal((await page.content()).includes(key), false);
    assert.match(await page.locator('li.factor').first().textContent(), /nightly\s*in force[^]*policies\.show/);
    await page.locator('li.factor summary').first().click();
    await page.locator('li.factor').first().getByLabel('Why').fill('a test');
    await page.getByRole('button', { name: 'Revoke this key' }).click();
    await page.getByText('Revoked, at every gateway.').waitFor();
    assert.equal(await ask('/v1/policies', key), 401);
    // Who may make none is told so, and nobody is made one by another site's form.
    const { nils } = mine;
    await nils.page.goto(`${base}/console/settings`);
    await nils.page.getByLabel('Name').fill('mine');
    await nils.page.getByLabel('policies.show').check();
    await nils.page.getByRole('button', { name: 'Make a key' }).click();
    assert.match(await nils.page.getByRole('alert').textContent(), /no rule allows it/);
    const forged = await page.evaluate(async () => (await fetch('/console/settings/keys', { method: 'POST', body: new URLSearchParams({ name: 'x', 'policies.show': 'true', expires_in_s: '86400' }), redirect: 'manual' })).status);
    assert.equal(forged, 403);
    for (const who of Object.values(mine)) await who.context.close();
  });
};
