import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeBinaryDocument, isBinaryDocument } from "@isochron/viz";
import { describe, expect, it } from "vitest";
import { toJson } from "../../packages/cli/src/documents/to-json.ts";
import { skewedDecode, writeDocument } from "../support/batches.ts";
import { isochron, isochronJson } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

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
  for (let i = 0; i < count; i++)
    documents.push(documentIn(await (await fetch(new URL(`documents/${i}`, url))).arrayBuffer()));
  const foreign = await fetch(url, { headers: { origin: "http://example.com" } });
  return { page, documents, statusOfForeignHost: foreign.status };
}

/** JSON as what it says, a binary document as its bytes. */
function documentIn(content: ArrayBuffer): Served["documents"][number] {
  const bytes = Buffer.from(content);
  return isBinaryDocument(bytes) ? (bytes as never) : JSON.parse(bytes.toString());
}

/** Another text of the same length in a file. */
function spoil(bytes: Buffer, from: string, to: string): Buffer {
  const spoiled = Buffer.from(bytes);
  spoiled.write(to, spoiled.indexOf(from));
  return spoiled;
}

describe("isochron view", () => {
  it("says of a page that it is one, and what to do with it", async () => {
    const folder = temporaryFolder();
    const page = join(folder, "page.html");
    await isochron(["simulate", writeDocument(folder, "batch.json", skewedDecode), "--html", page]);
    const { exitCode, stderr } = await isochron(["view", page]);
    expect(stderr).toBe(
      `isochron: ${page}: found a page, expected the documents that it shows; open it in a browser\n`,
    );
    expect(exitCode).toBe(2);
  });

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

  it("serves and embeds the binary form that `simulate --out FILE.isoc` writes", async () => {
    const folder = temporaryFolder();
    const batch = writeDocument(folder, "batch.json", skewedDecode);
    const [binary, json] = [join(folder, "timeline.isoc"), join(folder, "timeline.json")];
    await isochron(["simulate", batch, "--out", binary]);
    await isochron(["simulate", batch, "--out", json]);
    const bytes = readFileSync(binary);
    expect(bytes.subarray(0, 8).toString()).toBe("ISOCDOC1");
    expect(bytes.length).toBeLessThan(readFileSync(json).length);
    const timeline = JSON.parse(readFileSync(json, "utf8"));
    const plain = JSON.parse(toJson(decodeBinaryDocument(bytes)));
    expect({ ...plain, generator: 0 }).toEqual({ ...timeline, generator: 0 });
    expect((await view([binary])).documents[0]).toEqual(bytes);
    const html = join(folder, "page.html");
    expect(await isochronJson(["view", binary, "--html", html])).toMatchObject({ timelines: 1 });
  });

  it.each<[string, (bytes: Buffer) => Buffer, RegExp]>([
    [
      "that is cut off",
      (bytes) => bytes.subarray(0, bytes.length - 9),
      /x\.isoc: .*the file is cut off, expected a whole binary document$/,
    ],
    [
      "that ends in its header",
      (bytes) => bytes.subarray(0, 40),
      /x\.isoc: the file ends after 40 bytes, inside its header/,
    ],
    [
      "whose header is damaged",
      (bytes) => spoil(bytes, '"isochron"', '"isochron!'),
      /x\.isoc: .*, expected a whole binary document$/,
    ],
    [
      "of another version",
      (bytes) => spoil(bytes, "timeline/1", "timeline/7"),
      /found "timeline\/7", expected "report\/1", "timeline\/1" or "sweep-results\/1"$/,
    ],
    [
      "with a broken field",
      (bytes) => spoil(bytes, '"simulated"', '"imagined!"'),
      /x\.isoc: field source: found "imagined!"/,
    ],
  ])("refuses a binary file %s", async (_, change, line) => {
    const folder = temporaryFolder();
    const path = join(folder, "x.isoc");
    await isochron(["simulate", writeDocument(folder, "batch.json", skewedDecode), "--out", path]);
    writeFileSync(path, change(readFileSync(path)));
    const { exitCode, stdout, stderr } = await isochron(["view", path, "--html", `${path}.html`]);
    expect(stderr.trimEnd()).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
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

  it.each<[string, (steps: Record<string, number[]>) => void, RegExp]>([
    ["a time before the first", ({ startUs }) => startUs!.splice(3, 1, -1), /steps\.startUs\[3\]: found -1, expected/],
    ["columns of two lengths", ({ tokens }) => tokens!.pop(), /steps\.tokens: found .*expected \d+ entries as in step/],
  ])("refuses a report with %s before it writes a page", async (_, change, line) => {
    const out = join(temporaryFolder(), "out");
    await isochron(["replay", "azure-conv-2023", "--limit", "20", "--out", out]);
    const path = join(out, "report.json");
    const report = JSON.parse(readFileSync(path, "utf8"));
    change(report.steps);
    writeFileSync(path, JSON.stringify(report));
    const { exitCode, stderr } = await isochron(["view", path, "--html", join(out, "page.html")]);
    expect([exitCode, existsSync(join(out, "page.html"))]).toEqual([2, false]);
    expect(stderr).toMatch(line);
  });

  it.each<[string, string, RegExp]>([
    ["a missing file", "", /x\.json: no such file or directory$/],
    [
      "a foreign file",
      '{"traceEvents": []}',
      /x\.json: field isochron: found nothing, expected "report\/1", "timeline\/1" or "sweep-results\/1"$/,
    ],
    [
      "another version",
      '{"isochron": "timeline/9"}',
      /found "timeline\/9", expected "report\/1", "timeline\/1" or "sweep-results\/1"$/,
    ],
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
