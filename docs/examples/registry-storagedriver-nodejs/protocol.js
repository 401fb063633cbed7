// The serving side of the protocol, version 1: docs/remote-protocol.md. It knows nothing of the store.
'use strict';

const http = require('node:http');
const fs = require('node:fs');
const zlib = require('node:zlib');

const MOST_BYTES = 64 * 1024 * 1024; // of one request
const LEASE_SECONDS = 60;

// An error of the contract: its type, what it says, and its other attributes.
class StoreError extends Error {
  constructor(type, message, attributes = {}) {
    super(message ?? type);
    this.json = { type, message: message ?? type, temporary: false, outcome: 'none', ...attributes };
  }
}

const STATUS = { PathNotFoundError: 404, UploadNotFoundError: 404, InvalidPathError: 400,
  InvalidOffsetError: 416, UnsupportedMethodError: 501, AlreadyExistsError: 409, ConflictError: 409,
  LimitExceededError: 413, NoSpaceError: 507, PermissionDeniedError: 403, ConfigurationError: 400,
  ChecksumMismatchError: 422, UnavailableError: 503 };

function errorJson(error) {
  if (error instanceof StoreError) return error.json;
  process.stderr.write(`${error.stack}\n`);
  return { type: 'StorageDriverError', message: `the driver failed: ${error.message}`,
    temporary: false, outcome: 'unknown' };
}

function refuse(message) {
  throw new StoreError('ConfigurationError', message);
}

async function readBody(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > MOST_BYTES + 1024 * 1024) throw new StoreError('LimitExceededError', 'too large');
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

// Node.js before 20.15 has no CRC-32 of its own.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

function crc32(buffer) {
  if (zlib.crc32) return zlib.crc32(buffer);
  let value = 0xffffffff;
  for (const byte of buffer) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function check(buffer, checksum) {
  if (crc32(buffer) !== checksum) {
    throw new StoreError('ChecksumMismatchError', 'the request was damaged on the way');
  }
}

// The arguments of a call, and the bytes that it carries.
async function readRequest(request) {
  const body = await readBody(request);
  switch (request.headers['content-type']) {
    case 'application/json': {
      const checksum = request.headers['x-body-crc32'];
      if (checksum !== undefined) check(body, parseInt(checksum, 16));
      return [JSON.parse(body), null];
    }
    case 'application/x-storagedriver-content': {
      const end = body.length - 4;
      if (end < 0 || body.length !== Number(request.headers['content-length'])) refuse('cut off');
      check(body.subarray(0, end), body.readUInt32BE(end));
      const line = body.indexOf('\n');
      return [JSON.parse(body.subarray(0, line)), body.subarray(line + 1, end)];
    }
    default:
      return refuse('the content type is none of the protocol');
  }
}

function frameHead(kind, length) {
  const head = Buffer.alloc(5, kind);
  head.writeUInt32BE(length, 1);
  return head;
}

function frame(kind, value) {
  const text = Buffer.from(JSON.stringify(value));
  return Buffer.concat([frameHead(kind, text.length), text]);
}

// Sends frames, and waits while the client does not take them.
class FrameWriter {
  constructor(response) {
    this.response = response;
    this.gone = new Promise((resolve) => response.once('close', resolve));
  }

  async write(buffer) {
    if (this.response.destroyed) throw new Error('the client is gone');
    if (!this.response.headersSent) {
      this.response.writeHead(200, { 'Content-Type': 'application/x-storagedriver-frames' });
    }
    if (!this.response.write(buffer)) {
      await Promise.race([this.gone, new Promise((resolve) => this.response.once('drain', resolve))]);
    }
  }
}

// Frames of `kind` for what `pieces` gives. The first piece is waited for before anything is sent,
// so that an error at the beginning still has a status.
async function answerFrames(response, kind, { head, pieces }) {
  const writer = new FrameWriter(response);
  try {
    let next = await pieces.next();
    if (head !== undefined) await writer.write(frame('H', head));
    for (; !next.done; next = await pieces.next()) {
      if (kind === 'P') {
        await writer.write(frame('P', next.value));
      } else {
        await writer.write(frameHead('D', next.value.length));
        await writer.write(next.value);
      }
    }
    await writer.write(frame('E', {}));
  } catch (error) {
    if (response.destroyed) return;
    if (!response.headersSent) throw error;
    await writer.write(frame('E', { error: errorJson(error) }));
  } finally {
    await pieces.return(); // closes what is still open
  }
  response.end();
}

function answerJson(response, status, value) {
  const text = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': text.length });
  response.end(text);
}

// Which client lives, by the names that clients give themselves.
class Sessions {
  constructor() {
    this.heardAt = new Map();
  }

  heard(name) {
    this.heardAt.set(name, Date.now());
  }

  lives(name) {
    const alive = Date.now() - (this.heardAt.get(name) ?? 0) < LEASE_SECONDS * 1000;
    if (!alive) this.heardAt.delete(name);
    return alive;
  }
}

async function answer(store, sessions, request, response) {
  const session = request.headers['x-storagedriver-session'] ?? '';
  sessions.heard(session);
  const call = /^\/v1\/([a-z_]+)$/.exec(request.url)?.[1];
  if (request.method === 'GET' && call === 'handshake') {
    return answerJson(response, 200, { result: {
      protocol: 1, server: 'registry-storagedriver-nodejs/1', driver: 'directory',
      lease_seconds: LEASE_SECONDS,
      capabilities: { ...store.capabilities, max_put_size: MOST_BYTES, max_part_size: MOST_BYTES },
    } });
  }
  const method = request.method === 'POST' && store.calls[call];
  if (!method) {
    throw new StoreError('UnsupportedMethodError', `no call ${request.method} ${request.url}`);
  }
  const [given, data] = await readRequest(request);
  // Who goes away has no use for the answer: what has not happened by then does not happen.
  const isGone = () => response.destroyed;
  const result = await method.call(store, given, data, { session, sessions, isGone });
  if (call === 'open_reader' || call === 'get_content') {
    return answerFrames(response, 'D', result);
  }
  if (call === 'list' || call === 'walk' || call === 'list_uploads') {
    return answerFrames(response, 'P', result);
  }
  return answerJson(response, 200, { result: result ?? null });
}

function serve(store, path, ready) {
  const sessions = new Sessions();
  const server = http.createServer({ keepAliveTimeout: 1_200_000 }, async (request, response) => {
    const id = request.headers['x-request-id'];
    if (id) response.setHeader('X-Request-Id', id);
    try {
      await answer(store, sessions, request, response);
    } catch (error) {
      if (response.destroyed || response.headersSent) return;
      const json = errorJson(error);
      answerJson(response, STATUS[json.type] ?? 500, { error: json });
    }
  });
  fs.rmSync(path, { force: true }); // of a run that was killed
  process.umask(0o177); // the socket is for its owner alone
  server.listen(path, () => {
    process.umask(0o077);
    ready();
  });
}

module.exports = { StoreError, serve };
