// What is applied, in the browser: written with checks, shown, applied, taken back, and what must not be possible.
import assert from 'node:assert/strict';

const FREEZE = `@id("console-freeze")
@description("<script>alert(1)</script>")
forbid (principal in Group::"analysts", action == Action::"read", resource == Target::"shop");
`;

export const applied = ({ test, world, base, signIn, csrf, people, hostile }) => {
  const reads = () => {
    try {
      return world.read('ana', 'select count(*) from orders') !== '';
    } catch {
      return false;
    }
  };
  const done = (page) => page.getByText('Applied. It is in force here').waitFor();

  test('a policy is written with checks, shown, applied, and taken back', async () => {
    const { page } = people.otto;
    assert.ok(reads());
    await page.goto(`${base}/console/policies`);
    await page.getByText('Nothing is applied').waitFor();
    await page.getByRole('link', { name: 'New file' }).click();
    await page.getByLabel('Path').fill('policies/freeze.cedar');
    // It is checked while it is written: nothing is clicked.
    await page.getByLabel('Text').fill('permit (principl, action, resource);');
    await page.locator('#found .remarks.bad', { hasText: 'policies/freeze.cedar:1:' }).waitFor();
    await page.getByLabel('Text').fill(FREEZE);
    await page.getByText('Nothing is wrong with it').waitFor();
    assert.equal(await page.getByLabel('Text').inputValue(), FREEZE, 'a check changes nothing of what is written');
    await page.getByLabel('What for').fill(`an incident ${hostile}`);
    await page.getByRole('button', { name: 'Show what changes' }).click();
    await page.getByRole('heading', { name: 'What changes' }).waitFor();
    assert.match(await page.locator('.diff').textContent(), /\+forbid \(principal in Group/);
    assert.match(await page.locator('tbody').textContent(), /added\s*rule\s*console-freeze/);
    assert.ok(reads(), 'what is only shown is not in force');
    await page.getByRole('button', { name: 'Apply' }).click();
    await done(page);
    assert.ok(!reads());
    // The history tells who and what for, as text.
    await page.getByRole('link', { name: 'History' }).click();
    assert.match(await page.locator('.list').textContent(), /Revision 1\s*in force\s*an incident <img src=x/);
    await page.getByRole('link', { name: /Revision 1/ }).click();
    assert.match(await page.locator('main').textContent(), /otto/);
    assert.match(await page.locator('.diff').first().textContent(), /console-freeze/);
    // It goes, and comes back by its revision.
    await page.goto(`${base}/console/policies`);
    await page.getByRole('link', { name: 'policies/freeze.cedar' }).click();
    await page.getByRole('button', { name: 'Remove this file' }).click();
    assert.match(await page.locator('tbody').textContent(), /removed\s*rule\s*console-freeze/);
    await page.getByRole('button', { name: 'Apply' }).click();
    await done(page);
    assert.ok(reads());
    await page.goto(`${base}/console/policies/history/1`);
    await page.getByRole('button', { name: 'Apply revision 1 again' }).click();
    await done(page);
    assert.ok(!reads());
    await page.goto(`${base}/console/policies/history/2`);
    await page.getByRole('button', { name: 'Apply revision 2 again' }).click();
    await done(page);
    assert.ok(reads());
  });

  test('without any script a file is checked by its button; what changed meanwhile is not overwritten', async () => {
    const { context, page } = await signIn('olga', { javaScriptEnabled: false });
    await page.goto(`${base}/console/policies/edit`);
    await page.getByLabel('Path').fill('tags.toml');
    await page.getByLabel('Text').fill('[[tag]]\ntarget = "shp"\ncolumn = "**.x"\ntag = "pii.name"\n');
    await page.getByRole('button', { name: 'Check' }).click();
    assert.match(await page.locator('.remarks.bad').textContent(), /tags\.toml:2:10[^]*did you mean "shop"\?/);
    await page.getByLabel('Text').fill('[[tag]]\ntarget = "shop"\ncolumn = "**.nothing_has_this"\ntag = "pii.name"\n');
    await page.getByRole('button', { name: 'Show what changes' }).click();
    assert.match(await page.locator('tbody').textContent(), /tag\s*shop: \*\*\.nothing_has_this is pii\.name/);
    // Somebody else applies something between the look and the click.
    const other = people.otto.page;
    await other.goto(`${base}/console/policies/edit`);
    await other.getByLabel('Path').fill('other.cedar');
    await other.getByLabel('Text').fill('@id("other")\nforbid (principal in Group::"nobody", action, resource == Target::"shop");\n');
    await other.getByRole('button', { name: 'Show what changes' }).click();
    await other.getByRole('button', { name: 'Apply' }).click();
    await done(other);
    await page.getByRole('button', { name: 'Apply' }).click();
    assert.match(await page.locator('.trouble').first().textContent(), /something else was applied meanwhile/);
    assert.match(await page.getByLabel('Text').inputValue(), /nothing_has_this/, 'what was written is still there');
    await context.close();
  });

  test('adv: nobody applies by another site, another person, or a path that leads out', async () => {
    const { page } = people.otto;
    await page.goto(`${base}/console/policies/edit`);
    const token = await csrf(page);
    const post = (who, path, fields) =>
      who.evaluate(async ([path, fields]) => (await fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })).status, [path, fields]);
    const mine = { path: 'mine.cedar', new: 'true', text: '@id("mine")\npermit (principal, action, resource);', base: '5', step: 'apply' };
    assert.equal(await post(page, '/console/policies/edit', mine), 403, 'without the token of the form');
    assert.equal(await post(page, '/console/policies/edit', { ...mine, csrf: token, path: '../../etc/cron.d/x.cedar' }), 400);
    const nils = await signIn('nils');
    await nils.page.goto(`${base}/console/factors`);
    const theirs = await csrf(nils.page);
    assert.equal(await post(nils.page, '/console/policies/edit', { ...mine, csrf: theirs }), 403);
    assert.equal(await post(nils.page, '/console/policies/history/1/apply', { csrf: theirs, base: '5' }), 403);
    for (const path of ['edit', 'history', 'history/1']) assert.equal((await nils.page.goto(`${base}/console/policies/${path}`)).status(), 403, path);
    await nils.context.close();
    // Reading is not applying.
    const { rita } = people;
    await rita.page.goto(`${base}/console/factors`);
    assert.equal(await post(rita.page, '/console/policies/edit', { ...mine, csrf: await csrf(rita.page) }), 403);
    await page.goto(`${base}/console/policies`);
    assert.equal(await page.getByRole('link', { name: 'mine.cedar' }).count(), 0);
  });
};
