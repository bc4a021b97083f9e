import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderPage, serveViewer, ViewerBundleError, ViewerFileError, type ViewerServer } from "@isochron/viz";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeTimeline } from "../support/documents.ts";
import { buildViewer } from "../support/viewer.ts";

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Record<string, unknown>;
}

function ask(port: number, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, path, headers, method }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        body += part;
      });
      response.on("end", () => resolve({ status: response.statusCode!, body, headers: response.headers }));
    });
    call.on("error", reject);
    call.end();
  });
}

describe("the library of the viewer", () => {
  it.each([
    ["undefined", undefined],
    ['a document of kind "timeline/1"', makeTimeline({ kvLens: [640], smCount: 4 })],
    ["timelines that is no list", { timelines: makeTimeline({ kvLens: [640], smCount: 4 }) }],
  ])("says of %s that it is no bundle, instead of an empty page", (found, documents) => {
    const render = (): unknown => renderPage(documents as never);
    expect(render).toThrow(ViewerBundleError);
    expect(render).toThrow(`found ${found}, expected lists of documents: { timelines: […]`);
  });

  it("says of what it is to serve that it is no list of files", async () => {
    await expect(serveViewer(undefined as never)).rejects.toThrow(ViewerFileError);
    await expect(serveViewer({ files: "one.json" } as never)).rejects.toThrow("one.json is no list of files");
  });
});

describe("the loopback server", () => {
  const folder = mkdtempSync(join(tmpdir(), "isochron-viz-"));
  const named = join(folder, "named.json");
  const secret = join(folder, "secret.txt");
  let server: ViewerServer;

  beforeAll(async () => {
    await buildViewer();
    writeFileSync(named, JSON.stringify(makeTimeline({ kvLens: [640, 64], smCount: 4 })));
    writeFileSync(secret, "not for you");
    server = await serveViewer({ files: [named], pollMs: 20 });
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  it("serves the page and the named file", async () => {
    const page = await ask(server.port, "/");
    expect(page.status).toBe(200);
    expect(page.body).toContain('id="isochron-files">["named.json"]<');
    expect(page.headers["content-security-policy"]).toBe("frame-ancestors 'none'");
    expect(page.body).toContain("default-src 'none'");
    expect((await ask(server.port, "/documents/0")).body).toContain('"isochron":"timeline/1"');
    expect((await ask(server.port, "/documents/0", {}, "HEAD")).body).toBe("");
  });

  it.each(["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "[::1]"])(
    "refuses the foreign Host %j",
    async (host) => {
      const { status, body } = await ask(server.port, "/documents/0", { host });
      expect([400, 403]).toContain(status);
      expect(body).not.toContain("isochron");
    },
  );

  it("accepts localhost and its own origin, and refuses a foreign Origin", async () => {
    const own = `localhost:${server.port}`;
    expect((await ask(server.port, "/", { host: own, origin: `http://${own}` })).status).toBe(200);
    for (const origin of ["https://evil.example", "null", `https://${own}`, `http://${own}.evil.example`]) {
      expect((await ask(server.port, "/documents/0", { host: own, origin })).status).toBe(403);
    }
    expect(
      (await ask(server.port, "/documents/0", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" })).status,
    ).toBe(403);
  });

  it.each([
    "/secret.txt",
    "/documents/1",
    "/documents/-1",
    "/documents/00",
    "/documents/0/../secret.txt",
    "/documents/../secret.txt",
    "/documents/%2e%2e%2fsecret.txt",
    "/../secret.txt",
    "//etc/passwd",
    "/documents/0%00",
    "/documents/1e0",
    "/named.json",
  ])("has nothing at %s", async (path) => {
    const { status, body } = await ask(server.port, path);
    expect(status).toBe(404);
    expect(body).toBe("Nothing is served here.");
  });

  it("takes only GET and HEAD", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      expect((await ask(server.port, "/", {}, method)).status).toBe(405);
    }
  });

  it("listens on loopback alone", async () => {
    expect(server.url).toBe(`http://127.0.0.1:${server.port}/`);
  });

  it("tells open pages that a file has changed", async () => {
    const changed = new Promise<string>((resolve, reject) => {
      const call = request({ host: "127.0.0.1", port: server.port, path: "/events" }, (response) => {
        response.setEncoding("utf8");
        response.on("data", (part: string) => {
          if (!part.includes("event: change")) return;
          resolve(part);
          call.destroy();
        });
      });
      call.on("error", reject);
      call.on("response", () => writeFileSync(named, JSON.stringify(makeTimeline({ kvLens: [64], smCount: 4 }))));
      call.end();
    });
    expect(await changed).toContain("data: 0");
  });

  it("refuses files that are not there, by name", async () => {
    await expect(serveViewer({ files: [join(folder, "absent.json")] })).rejects.toThrow(ViewerFileError);
    await expect(serveViewer({ files: [folder] })).rejects.toThrow(/is not a file/);
  });
});
