import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { skewedDecode, writeDocument } from "../support/batches.ts";
import { isochron, isochronJson, temporaryFolder } from "../support/command.ts";

/** The documents that a served page would fetch. */
interface Served {
  readonly page: string;
  readonly documents: { reports: { requests?: unknown }[]; timelines: { title?: string }[]; isochron?: string }[];
  readonly statusOfForeignHost: number;
}

/** Serves the files, fetches everything, and presses Ctrl-C. */
async function view(args: readonly string[]): Promise<Served & { exitCode: number }> {
  const interrupt = new AbortController();
  let served: Promise<Served> | undefined;
  const { exitCode } = await isochron(["view", ...args, "--no-open", "--json"], {
    interrupt: interrupt.signal,
    onStdout: (text) => {
      const { url, files } = JSON.parse(text) as { url: string; files: string[] };
      served = fetchAll(url, files.length).finally(() => interrupt.abort());
    },
  });
  return { ...(await served!), exitCode };
}

async function fetchAll(url: string, count: number): Promise<Served> {
  const page = await (await fetch(url)).text();
  const documents: Served["documents"] = [];
  for (let i = 0; i < count; i++) documents.push(await (await fetch(new URL(`documents/${i}`, url))).json());
  const foreign = await fetch(url, { headers: { origin: "http://example.com" } });
  return { page, documents, statusOfForeignHost: foreign.status };
}

describe("isochron view", () => {
  it("serves a timeline as it is, on loopback, to its own page only, until Ctrl-C", async () => {
    const folder = temporaryFolder();
    const batch = writeDocument(folder, "batch.json", skewedDecode);
    const timeline = join(folder, "timeline.json");
    await isochron(["simulate", batch, "--out", timeline]);
    const served = await view([timeline]);
    expect(served.exitCode).toBe(0);
    expect(served.page).toMatch(/^<!doctype html>/i);
    expect(served.documents).toEqual([JSON.parse(readFileSync(timeline, "utf8"))]);
    expect(served.statusOfForeignHost).toBe(403);
  });

  it("serves the folder of a replay with its records and the timelines of its steps", async () => {
    const out = join(temporaryFolder(), "out");
    await isochron(["replay", "azure-conv-2023", "--limit", "50", "--out", out]);
    const report = JSON.parse(readFileSync(join(out, "report.json"), "utf8"));
    expect(report.requests).toBeUndefined();
    const { documents } = await view([out]);
    const [{ reports, timelines }] = documents as [Served["documents"][number]];
    expect(reports[0]!.requests).toMatchObject({ id: Array.from({ length: 50 }, (_, id) => id) });
    expect(timelines.length).toBe(report.stepBatches.length);
    expect(timelines.every((one) => /^replica 0 · step \d+$/.test(one.title!))).toBe(true);
  });

  it("writes one page of several documents", async () => {
    const folder = temporaryFolder();
    const batch = writeDocument(folder, "batch.json", skewedDecode);
    const files = ["none", "balanced"].map((policy) => join(folder, `${policy}.json`));
    for (const [i, policy] of ["none", "balanced"].entries()) {
      await isochron(["simulate", batch, "--policy", policy, "--out", files[i]!]);
    }
    const html = join(folder, "compare.html");
    expect(await isochronJson(["view", ...files, "--html", html])).toMatchObject({
      file: html,
      timelines: 2,
      reports: 0,
    });
    expect(readFileSync(html, "utf8")).toMatch(/^<!doctype html>/i);
  });

  it("warns where the steps of a report cannot be opened, and shows the rest", async () => {
    const out = join(temporaryFolder(), "out");
    await isochron(["replay", "azure-conv-2023", "--limit", "20", "--out", out]);
    const path = join(out, "report.json");
    const report = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...report, deployment: { ...report.deployment, model: "my-model" } }));
    const { exitCode, stderr } = await isochron(["view", path, "--html", join(out, "page.html")]);
    expect(stderr).toMatch(/^warning: .*report\.json: its steps cannot be opened \(.*my-model/);
    expect(exitCode).toBe(0);
  });

  it.each<[string, string, RegExp]>([
    ["a missing file", "", /x\.json: no such file or directory$/],
    [
      "a foreign file",
      '{"traceEvents": []}',
      /x\.json: field isochron: found nothing, expected "report\/1" or "timeline\/1"$/,
    ],
    ["another version", '{"isochron": "timeline/9"}', /found "timeline\/9", expected "report\/1" or "timeline\/1"$/],
    ["a broken timeline", '{"isochron": "timeline/1"}', /x\.json: field source: found nothing, expected /],
    ["a truncated file", '{"isochron": "timeline/1", "sou', /x\.json:1: not JSON/],
  ])("refuses %s", async (_, content, line) => {
    const path = join(temporaryFolder(), "x.json");
    if (content !== "") writeFileSync(path, content);
    const { exitCode, stdout, stderr } = await isochron(["view", path, "--html", `${path}.html`]);
    expect(stderr.trimEnd()).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });
});
