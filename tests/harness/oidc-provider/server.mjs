// The certified provider on loopback, with its development login and consent pages.
// Settings come by environment: PORT CLIENT_SECRET ALGORITHM REDIRECT_URIS.
// It makes a new signing key whenever it starts.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { PORT, CLIENT_SECRET, ALGORITHM, REDIRECT_URIS } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;

const people = {
  alice: { groups: ['engineers', 'oncall'], email: 'alice@example.org' },
  bob: { groups: ['approvers'], email: 'bob@example.org' },
  mallory: { groups: [], email: 'mallory@example.org' },
};

function newKey() {
  const made = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    Ed25519: () => generateKeyPairSync('ed25519'),
    EdDSA: () => generateKeyPairSync('ed25519'),
  }[ALGORITHM]();
  const kid = randomBytes(6).toString('hex');
  return { ...made.privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: ALGORITHM };
}

function newProvider() {
  const client = {
    client_id: 'bastion',
    grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    redirect_uris: REDIRECT_URIS.split(' '),
    id_token_signed_response_alg: ALGORITHM,
    application_type: 'native',
    ...(CLIENT_SECRET
      ? { client_secret: CLIENT_SECRET }
      : { token_endpoint_auth_method: 'none' }),
  };
  return new Provider(issuer, {
    clients: [client],
    jwks: { keys: [newKey()] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: { deviceFlow: { enabled: true } },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    scopes: ['openid', 'profile', 'email'],
    claims: {
      openid: ['sub'],
      profile: ['preferred_username', 'groups'],
      email: ['email', 'email_verified'],
    },
    enabledJWA: { idTokenSigningAlgValues: [ALGORITHM] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id, preferred_username: id, email_verified: true, ...people[id],
      }),
    }),
  });
}

createServer(newProvider().callback()).listen(Number(PORT), '127.0.0.1');
