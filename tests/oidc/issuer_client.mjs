// An independent, certified client (npm openid-client) against the local issuer of a running gateway: GATEWAY_URL, GATEWAY_LOG and
// GATEWAY_PASSWORD say which. Prints "ok NAME" or "not ok NAME", then "N passed, N failed".
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { Person } from './person.mjs';

const { GATEWAY_URL: issuer, GATEWAY_LOG: log, GATEWAY_PASSWORD: password } = process.env;
const CALLBACK = 'http://127.0.0.1:43117/callback';
const ALL = 'openid profile offline_access';

const discover = async (id, authentication) => {
  const options = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] };
  return client.discovery(new URL(issuer), id, undefined, authentication, options);
};
const cli = await discover('countersign-cli', client.None());
const keys = createRemoteJWKSet(new URL(cli.serverMetadata().jwks_uri));
const ana = () => new Person('ana', password);

// The way of a program: a page to open, and what to check the answer with.
const ask = async (scope = ALL, more = {}) => {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
  const url = client.buildAuthorizationUrl(cli, {
    redirect_uri: CALLBACK,
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
    ...more,
  });
  return { url, checks: { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: scope.includes('openid') } };
};

const signIn = async (scope) => {
  const { url, checks } = await ask(scope);
  const back = await ana().signIn(url);
  return { back, checks, tokens: await client.authorizationCodeGrant(cli, back, checks) };
};

const alerts = (what) => readFileSync(log, 'utf8').split('\n').filter((l) => l.includes('alert') && l.includes(what)).length;
const refused = (error) => (e) => e.error === error || assert.fail(`${e.error ?? e}: expected ${error}`);

const cases = {
  'the documents say what there is': async () => {
    const m = cli.serverMetadata();
    assert.equal(m.issuer, issuer);
    assert.deepEqual(m.response_types_supported, ['code']);
    assert.deepEqual(m.code_challenge_methods_supported, ['S256']);
    assert.equal(m.authorization_response_iss_parameter_supported, true);
    assert.ok(cli.serverMetadata().supportsPKCE());
    for (const name of ['authorization', 'token', 'device_authorization', 'revocation']) {
      assert.ok(m[`${name}_endpoint`].startsWith(`${issuer}/`), name);
    }
  },
  'a person signs in: code, PKCE, state, nonce, iss, ID token': async () => {
    const { tokens } = await signIn();
    assert.equal(tokens.claims().preferred_username, 'ana');
    assert.equal(tokens.scope, ALL);
    const access = await jwtVerify(tokens.access_token, keys, { issuer, audience: 'countersign', typ: 'at+jwt', algorithms: ['ES256'] });
    assert.deepEqual([access.payload.client_id, access.payload.groups], ['countersign-cli', ['analysts']]);
    assert.equal(access.payload.sub, tokens.claims().sub);
    assert.equal(access.payload.sid, tokens.claims().sid);
  },
  'a maximum age is kept, because the password is asked every time': async () => {
    const { url, checks } = await ask('openid', { max_age: '0' });
    await client.authorizationCodeGrant(cli, await ana().signIn(url), { ...checks, maxAge: 5 });
  },
  'the person says no, or nobody may be asked': async () => {
    const no = await ask();
    const back = await ana().signIn(no.url, 'refuse');
    await assert.rejects(client.authorizationCodeGrant(cli, back, no.checks), refused('access_denied'));
    const silent = await ask('openid', { prompt: 'none' });
    const sent = await ana().signIn(silent.url);
    await assert.rejects(client.authorizationCodeGrant(cli, sent, silent.checks), refused('login_required'));
  },
  'without PKCE there is nothing': async () => {
    const { url, checks } = await ask();
    for (const [name, value] of [['code_challenge', ''], ['code_challenge_method', 'plain']]) {
      const bare = new URL(url);
      bare.searchParams.set(name, value);
      const back = await ana().signIn(bare);
      await assert.rejects(client.authorizationCodeGrant(cli, back, checks), refused('invalid_request'));
    }
  },
  'adv_084 a code that is used twice ends what it gave, and alerts': async () => {
    const before = alerts('authorization code');
    const { back, checks, tokens } = await signIn();
    await assert.rejects(client.authorizationCodeGrant(cli, back, checks), refused('invalid_grant'));
    await assert.rejects(client.refreshTokenGrant(cli, tokens.refresh_token), refused('invalid_grant'));
    assert.equal(alerts('authorization code'), before + 1);
  },
  'refresh tokens rotate; adv_084 an old one ends the sign-in, and alerts': async () => {
    const before = alerts('refresh token');
    const { tokens } = await signIn();
    const second = await client.refreshTokenGrant(cli, tokens.refresh_token);
    assert.notEqual(second.refresh_token, tokens.refresh_token);
    assert.equal(second.claims().sub, tokens.claims().sub);
    const third = await client.refreshTokenGrant(cli, second.refresh_token, { scope: 'openid' });
    assert.equal(third.scope, 'openid');
    await assert.rejects(client.refreshTokenGrant(cli, second.refresh_token), refused('invalid_grant'));
    await assert.rejects(client.refreshTokenGrant(cli, third.refresh_token), refused('invalid_grant'));
    assert.equal(alerts('refresh token'), before + 1);
  },
  'a device is signed in': async () => {
    const asked = await client.initiateDeviceAuthorization(cli, { scope: ALL });
    const polling = client.pollDeviceAuthorizationGrant(cli, asked);
    const said = await ana().answerDevice(asked.verification_uri, asked.user_code.toLowerCase());
    assert.match(said, /is signed in/);
    const tokens = await polling;
    assert.equal(tokens.claims().preferred_username, 'ana');
    await client.refreshTokenGrant(cli, tokens.refresh_token);
  },
  'a device is refused': async () => {
    const asked = await client.initiateDeviceAuthorization(cli, { scope: ALL });
    const polling = assert.rejects(client.pollDeviceAuthorizationGrant(cli, asked), refused('access_denied'));
    assert.match(await ana().answerDevice(asked.verification_uri_complete, asked.user_code, 'refuse'), /was refused/);
    await polling;
  },
  'what is given back is over': async () => {
    const { tokens } = await signIn();
    await client.tokenRevocation(cli, tokens.refresh_token);
    await assert.rejects(client.refreshTokenGrant(cli, tokens.refresh_token), refused('invalid_grant'));
    const other = (await signIn()).tokens;
    await client.tokenRevocation(cli, other.access_token);
    await assert.rejects(client.refreshTokenGrant(cli, other.refresh_token), refused('invalid_grant'));
  },
  'a client with a secret signs people in, by both ways of proving itself': async () => {
    for (const authentication of [client.ClientSecretBasic(password), client.ClientSecretPost(password)]) {
      const config = await discover('console', authentication);
      const { url, checks } = await ask('openid');
      url.searchParams.set('client_id', 'console');
      url.searchParams.set('redirect_uri', 'http://127.0.0.1:9/console');
      const tokens = await client.authorizationCodeGrant(config, await ana().signIn(url), checks);
      assert.equal(tokens.claims().aud, 'console');
    }
    const wrong = await discover('console', client.ClientSecretPost('not the secret'));
    const { url, checks } = await ask('openid', { client_id: 'console', redirect_uri: 'http://127.0.0.1:9/console' });
    await assert.rejects(client.authorizationCodeGrant(wrong, await ana().signIn(url), checks), { status: 401 });
  },
  'a machine gets its token by its own secret': async () => {
    const robot = await discover('robot', client.ClientSecretPost(password));
    const tokens = await client.clientCredentialsGrant(robot);
    const access = await jwtVerify(tokens.access_token, keys, { issuer, audience: 'countersign', typ: 'at+jwt' });
    assert.equal(access.payload.kind, 'machine');
  },
  'no code, token or password is in the log': async () => {
    const { back, tokens } = await signIn();
    const text = readFileSync(log, 'utf8');
    for (const secret of [back.searchParams.get('code'), tokens.access_token, tokens.refresh_token, tokens.id_token, password]) {
      assert.ok(!text.includes(secret));
    }
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
console.log(`${good} passed, ${bad} failed`);
process.exit(bad ? 1 : 0);
