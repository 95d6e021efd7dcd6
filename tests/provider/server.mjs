// A certified identity provider (npm: oidc-provider) that lets in whoever comes, for the tests.
//
// Standard input is a JSON object with `redirect_url`, `logout_redirect_url`, `backchannel_url`,
// `client_id` and `secret`; the first line of standard output is the issuer. POST /rotate makes new keys the ones to sign with.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const asked = JSON.parse(readFileSync(0, "utf8"));

const key = (kid, alg, kind, options) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }),
  kid,
  alg,
  use: "sig",
});
const rsa = (kid) => key(kid, "RS256", "rsa", { modulusLength: 2048 });
const keys = [rsa("rsa-1"), key("ec-1", "ES256", "ec", { namedCurve: "P-256" }), key("ed-1", "EdDSA", "ed25519")];

const redirects = { redirect_uris: [asked.redirect_url], response_types: ["code"], grant_types: ["authorization_code"] };
const client = (id, alg) => ({
  client_id: id,
  client_secret: asked.secret,
  id_token_signed_response_alg: alg,
  backchannel_logout_uri: asked.backchannel_url,
  backchannel_logout_session_required: true,
  post_logout_redirect_uris: [asked.logout_redirect_url],
  ...redirects,
});
const native = {
  client_id: "saltctl",
  token_endpoint_auth_method: "none",
  application_type: "native",
  redirect_uris: [],
  response_types: [],
  grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
};

let provider;
const server = createServer((request, response) => provider.callback()(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const made = (signing) => {
    const found = new Provider(issuer, {
      clients: [client(asked.client_id, "RS256"), client("ec", "ES256"), client("ed", "EdDSA"), native],
      jwks: { keys: signing },
      claims: { openid: ["sub", "groups"], profile: ["name"], email: ["email", "email_verified"] },
      conformIdTokenClaims: false,
      findAccount: (_context, id) => ({
        accountId: id,
        claims: () => ({ sub: id, groups: ["ops"], email: `${id}@example.com`, email_verified: true }),
      }),
      features: {
        devInteractions: { enabled: false },
        deviceFlow: { enabled: true },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => "urn:salt",
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: "openid",
            audience: "salt",
            accessTokenFormat: "jwt",
            accessTokenTTL: 600,
            jwt: { sign: { alg: "RS256" } },
          }),
        },
      },
      extraTokenClaims: (_context, token) => ({ groups: ["ops"], client: token.clientId }),
      interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
      cookies: { keys: ["for tests"] },
      // It calls no loopback address by itself, and the one who is logged out is there.
      fetch: (url, { dispatcher: _, ...options }) => globalThis.fetch(url, options),
      pkce: { required: () => true },
      ttl: { Session: 600, Grant: 600, Interaction: 600, IdToken: 600, DeviceCode: 600 },
    });
    found.use(async (context, next) => {
      if (context.path === "/rotate") {
        provider = made([rsa("rsa-2")]);
        context.body = "rotated";
        return;
      }
      if (!context.path.startsWith("/interaction/")) return next();
      const details = await found.interactionDetails(context.req, context.res);
      const { prompt, params, session } = details;
      const account = session?.accountId ?? "alice";
      let result = { login: { accountId: account } };
      if (prompt.name === "consent") {
        const grant = new found.Grant({ accountId: account, clientId: params.client_id });
        grant.addOIDCScope("openid profile email offline_access");
        grant.addResourceScope("urn:salt", "openid");
        result = { consent: { grantId: await grant.save() } };
      }
      context.redirect(await found.interactionResult(context.req, context.res, result));
    });
    return found;
  };
  provider = made(keys);
  console.log(issuer);
});
