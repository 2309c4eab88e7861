// A real, independent OpenID provider for the tests: provider.mjs PORT GENERATION. New keys at every start; their kid names the generation.
// The last part of the resource that a client asks for is the algorithm of its token; "urn:opaque:..." gives a token that is no JWT.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const generation = process.argv[3];

const key = (type, options, alg) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: `${alg}-${generation}` };
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, 'RS256'),
      key('rsa', { modulusLength: 2048 }, 'PS256'),
      key('ec', { namedCurve: 'P-256' }, 'ES256'),
      key('ec', { namedCurve: 'P-384' }, 'ES384'),
      key('ed25519', {}, 'EdDSA'),
    ],
  },
  clients: [
    {
      client_id: 'ci',
      client_secret: 'only-for-tests',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  extraTokenClaims: () => ({ groups: ['analysts', 'deployers'], kind: 'machine' }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => ({
        audience: resource,
        scope: '',
        accessTokenTTL: 300,
        accessTokenFormat: resource.startsWith('urn:opaque:') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: resource.split(':').pop() } },
      }),
    },
  },
});

provider.listen(port, '127.0.0.1', () => console.log('ready'));
