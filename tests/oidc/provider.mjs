// A real, independent OpenID provider for the tests: provider.mjs PORT GENERATIONS [FOLDER].
//
// GENERATIONS are names of sets of keys, separated by commas: the first signs, all are published, their kid names them. They are new at
// every start, unless there is a FOLDER that keeps them. FOLDER/people.json says who there is, and is read at each use:
// {"ana": {"groups": ["analysts"]}}. The pages take any password.
//
// The last part of the resource that a client asks for is the algorithm of its token; "urn:opaque:..." gives a token that is no JWT.
// "ci" and "ci-job" are machines; the second is shaped like a job of a pipeline. "countersign-cli" is a public client that people use: code
// with PKCE, device code, refresh tokens. Tokens are bound by DPoP where the client proves a key, and proofs need the provider's nonce.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const generations = process.argv[3].split(',');
const folder = process.argv[4];
const DEFAULT_RESOURCE = 'urn:countersign:ES256';

const key = (generation, type, options, alg) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: `${alg}-${generation}` };
};

const made = (generation) => [
  key(generation, 'rsa', { modulusLength: 2048 }, 'RS256'),
  key(generation, 'rsa', { modulusLength: 2048 }, 'PS256'),
  key(generation, 'ec', { namedCurve: 'P-256' }, 'ES256'),
  key(generation, 'ec', { namedCurve: 'P-384' }, 'ES384'),
  key(generation, 'ed25519', {}, 'EdDSA'),
];

const kept = (generation) => {
  const file = folder && join(folder, `keys-${generation}.json`);
  if (file && existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const keys = made(generation);
  if (file) writeFileSync(file, JSON.stringify(keys), { mode: 0o600 });
  return keys;
};

const people = () => (folder ? JSON.parse(readFileSync(join(folder, 'people.json'), 'utf8')) : {});

const machine = (id) => ({
  client_id: id,
  client_secret: 'only-for-tests',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

// As GitHub's tokens name a job.
const JOB = {
  repository: 'acme/shop',
  repository_id: '482911734',
  repository_owner_id: '9919',
  job_workflow_ref: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
  ref: 'refs/heads/main',
  sha: '6b1f0d2c5a7e4f3b8c9d0e1f2a3b4c5d6e7f8091',
  run_id: '7000000001',
  environment: 'production',
  runner_environment: 'github-hosted',
};

const claimsOf = (token) => {
  if (token.accountId) {
    return { preferred_username: token.accountId, kind: 'human', groups: people()[token.accountId]?.groups ?? [] };
  }
  const machineClaims = { preferred_username: token.clientId, kind: 'machine', groups: ['analysts', 'deployers'] };
  return token.clientId === 'ci-job' ? { ...machineClaims, groups: [], ...JOB } : machineClaims;
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: generations.flatMap(kept) },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  clients: [
    machine('ci'),
    machine('ci-job'),
    {
      client_id: 'countersign-cli',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  findAccount: (_context, id) => {
    const person = people()[id];
    return person && { accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: person.groups }) };
  },
  extraTokenClaims: (_context, token) => claimsOf(token),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: folder !== undefined },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => DEFAULT_RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => ({
        audience: resource,
        scope: 'openid profile offline_access',
        accessTokenTTL: 300,
        accessTokenFormat: resource.startsWith('urn:opaque:') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: resource.split(':').pop() } },
      }),
    },
  },
  ttl: { DeviceCode: 600, Interaction: 600, Session: 600, Grant: 3600, RefreshToken: 3600, IdToken: 300 },
});

provider.listen(port, '127.0.0.1', () => console.log('ready'));
