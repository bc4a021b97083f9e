// The viewer on this machine's loopback: the page, the files that were named, and nothing else.
//
// A web page elsewhere must not read what is served here: requests are answered only if their Host is this server (a name
// that resolves to 127.0.0.1 elsewhere is refused: DNS rebinding), and if their Origin, where there is one, is too. A
// secret path was considered and left out: any program on this machine could read the files anyway.

import { open, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { embeddable, fill, readTemplate } from "./page.ts";

export interface ViewerServerOptions {
  /** Documents to serve; paths as the person named them. */
  readonly files: readonly string[];
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** Called with the address once the server listens, for instance to open a browser. */
  readonly open?: (url: string) => void;
  /** How often files are looked at for changes, in milliseconds; 500 unless given. */
  readonly pollMs?: number;
}

export interface ViewerServer {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** A file that cannot be served. */
export class ViewerFileError extends Error {
  override readonly name = "ViewerFileError";
  readonly file: string;

  constructor(file: string, reason: string) {
    super(`${file} ${reason}`);
    this.file = file;
  }
}

/** Chosen: large enough that hundreds of megabytes arrive in a fraction of a second. */
const CHUNK_BYTES = 1 << 20;

const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "content-security-policy": "frame-ancestors 'none'",
} as const;

/**
 * Serves the viewer on 127.0.0.1. A change of a named file reaches open pages within `pollMs`, also while a replay still
 * writes it. Throws ViewerFileError for a file that is not there, MissingTemplateError for a page that was not built.
 */
export async function serveViewer(options: ViewerServerOptions): Promise<ViewerServer> {
  const { files, port = 0, pollMs = 500 } = options ?? {};
  if (!Array.isArray(files)) throw new ViewerFileError(String(files), "is no list of files");
  const versions = await Promise.all(files.map(requireFile));
  const names = files.map((file) => basename(file));
  const element = `<script type="application/json" id="isochron-files">${embeddable(JSON.stringify(names))}</script>`;
  const page = fill(readTemplate(), element);
  const listeners = new Set<ServerResponse>();

  const server = createServer((request, response) => {
    answer(request, response, { files, page, listeners, hosts: allowedHosts(server) }).catch((error: unknown) => {
      if (!response.headersSent) send(response, 500, String(error instanceof Error ? error.message : error));
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });

  const poll = setInterval(() => void announceChanges(files, versions, listeners), pollMs);
  poll.unref();
  const address = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${address.port}/`;
  options.open?.(url);
  return {
    url,
    port: address.port,
    close: () => {
      clearInterval(poll);
      for (const listener of listeners) listener.end();
      server.closeAllConnections();
      return new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      });
    },
  };
}

async function requireFile(file: string): Promise<string> {
  const info = await stat(file).catch(() => null);
  if (info === null) throw new ViewerFileError(file, "does not exist");
  if (!info.isFile()) throw new ViewerFileError(file, "is not a file");
  return versionOf(info);
}

function versionOf(info: { readonly mtimeMs: number; readonly size: number; readonly ino: number }): string {
  return `${info.mtimeMs}/${info.size}/${info.ino}`;
}

/** Tells every open page which files are new. A file that is away for a moment (a rename) is looked at again. */
async function announceChanges(
  files: readonly string[],
  versions: string[],
  listeners: Set<ServerResponse>,
): Promise<void> {
  for (let i = 0; i < files.length; i++) {
    const info = await stat(files[i]!).catch(() => null);
    if (info === null || versionOf(info) === versions[i]) continue;
    versions[i] = versionOf(info);
    for (const listener of listeners) listener.write(`event: change\ndata: ${i}\n\n`);
  }
}

function allowedHosts(server: Server): readonly string[] {
  const { port } = server.address() as AddressInfo;
  return [`127.0.0.1:${port}`, `localhost:${port}`];
}

interface Site {
  readonly files: readonly string[];
  readonly page: string;
  readonly listeners: Set<ServerResponse>;
  readonly hosts: readonly string[];
}

async function answer(request: IncomingMessage, response: ServerResponse, site: Site): Promise<void> {
  const { host, origin } = request.headers;
  if (host === undefined || !site.hosts.includes(host.toLowerCase())) {
    return send(response, 403, "This server answers only to its own name.");
  }
  if (origin !== undefined && !site.hosts.some((name) => origin === `http://${name}`)) {
    return send(response, 403, "This server answers only to its own page.");
  }
  if (request.headers["sec-fetch-site"] === "cross-site" && request.headers["sec-fetch-mode"] !== "navigate") {
    return send(response, 403, "This server answers only to its own page.");
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, "Only GET and HEAD.");
  }
  const path = request.url ?? "/";
  if (path === "/" || path.startsWith("/?")) return send(response, 200, site.page, "text/html; charset=utf-8");
  if (path === "/events") return listen(request, response, site.listeners);
  // Exactly documents/<number>: no path from the outside ever reaches the file system.
  const file = /^\/documents\/(0|[1-9]\d{0,5})$/.exec(path)?.[1];
  const named = file === undefined ? undefined : site.files[Number(file)];
  if (named === undefined) return send(response, 404, "Nothing is served here.");
  return sendFile(response, named);
}

/** Streams a file as long as it is now; what a replay appends meanwhile comes with the next change. */
async function sendFile(response: ServerResponse, file: string): Promise<void> {
  const handle = await open(file).catch(() => null);
  if (handle === null) return send(response, 404, "The file is not there any more.");
  try {
    const { size } = await handle.stat();
    response.writeHead(200, { ...HEADERS, "content-type": "application/octet-stream", "content-length": size });
    if (response.req.method === "HEAD" || size === 0) response.end();
    else
      await pipeline(
        handle.createReadStream({ end: size - 1, autoClose: false, highWaterMark: CHUNK_BYTES }),
        response,
      );
  } finally {
    await handle.close();
  }
}

function listen(request: IncomingMessage, response: ServerResponse, listeners: Set<ServerResponse>): void {
  response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream" });
  response.write("retry: 1000\n\n");
  listeners.add(response);
  request.on("close", () => listeners.delete(response));
}

function send(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { ...HEADERS, "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
