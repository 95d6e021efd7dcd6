// Logs in, asks what is allowed, runs a command and reads its results as they come.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type RunRecord = components["schemas"]["RunRecord"];

const [baseUrl = "", username = "", password = "", eauth = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl });

const login = await client.POST("/login", { body: { username, password, eauth } });
const token = login.data?.return[0]?.token;
if (token === undefined) throw new Error(JSON.stringify(login.error));
const headers = { "X-Auth-Token": token };

const lowstate: components["schemas"]["Lowstate"] = [
  { client: "local", tgt: "*", tgt_type: "glob", fun: "test.ping" },
];
const check = await client.POST("/v1/check", { body: lowstate, headers });
if (check.data?.checks[0]?.allowed !== true) throw new Error(JSON.stringify(check));

const run = await client.POST("/v1/run", { body: lowstate, headers });
if (typeof run.data !== "object") throw new Error(JSON.stringify(run.error));
const [result] = run.data.results;
if (result === undefined || !("returns" in result)) throw new Error(JSON.stringify(result));
const returned = Object.keys(result.returns ?? {});

const stream = await client.POST("/v1/run", {
  body: lowstate,
  headers: { ...headers, Accept: "application/x-ndjson" },
  parseAs: "text",
});
const streamed: string[] = [];
for (const line of String(stream.data).trim().split("\n")) {
  const record = JSON.parse(line) as RunRecord;
  if (record.type === "return") streamed.push(record.minion);
  if (record.type === "error") throw new Error(JSON.stringify(record.error));
}

const wrong = await client.POST("/v1/run", { body: { fun: "test.ping" }, headers });
console.log(JSON.stringify({ returned, streamed, wrong: wrong.error?.code }));
