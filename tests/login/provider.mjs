// A real, independent OpenID provider that people log in at: provider.mjs PORT. Its pages take any name and password.
// The command line is a public client: code with PKCE, device code, refresh tokens; tokens are bound by DPoP where the client proves a key.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'one' }] },
  clients: [
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
  claims: { openid: ['sub'], profile: ['name', 'groups'] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, groups: ['analysts'] }),
  }),
  extraTokenClaims: () => ({ groups: ['analysts'] }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:countersign',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience: 'countersign',
        scope: 'openid profile offline_access',
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  ttl: { DeviceCode: 600, Interaction: 600, Session: 600, Grant: 3600, RefreshToken: 3600, AccessToken: 300, IdToken: 300 },
});

provider.listen(port, '127.0.0.1', () => console.log('ready'));
