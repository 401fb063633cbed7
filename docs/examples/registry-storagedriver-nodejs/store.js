// A directory as a store: a file for each object, and one for each upload in progress.
//
//   <directory>/a/b                              the object /a/b
//   <directory>/.storagedriver/uploads/<id>/     an upload:
//       info.json                                its path, when it began, and its cuts
//       data.<holder>                            its bytes; who resumes it gives it another name
//
// A commit is a rename. The file of an upload keeps its inode all the way, by which it is known
// again after a commit whose answer was lost.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');
const { StoreError } = require('./protocol');

const INTERNAL = '.storagedriver';
const CHUNK_BYTES = 256 * 1024;
const REMEMBERED = 1000; // commits whose answer may be asked for again

const MEANINGS = {
  ENOENT: 'PathNotFoundError', ENOTDIR: 'ConflictError', EISDIR: 'ConflictError',
  ENOTEMPTY: 'ConflictError', EEXIST: 'AlreadyExistsError', ENOSPC: 'NoSpaceError', EDQUOT: 'NoSpaceError',
  EACCES: 'PermissionDeniedError', EPERM: 'PermissionDeniedError', EROFS: 'PermissionDeniedError',
  ENAMETOOLONG: 'InvalidPathError',
};

function meaning(error, others = {}) {
  if (error instanceof StoreError || !error.code) return error;
  const type = others[error.code] ?? MEANINGS[error.code];
  if (type) return new StoreError(type);
  return new StoreError('UnavailableError', error.code, { temporary: true });
}

function identity(stats) {
  return `${stats.ino}-${stats.birthtimeNs}`;
}

function fileInfo(name, stats) {
  const time = new Date(Number(stats.mtimeNs / 1_000_000n)).toISOString().replace('Z', '');
  const micros = String((stats.mtimeNs / 1000n) % 1000n).padStart(3, '0');
  return { path: name, size: Number(stats.size), mod_time: `${time}${micros}+00:00` };
}

async function syncDirectory(name) {
  const handle = await fs.open(name, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class DirectoryStore {
  constructor(directory) {
    this.root = path.resolve(directory);
    this.uploads = path.join(this.root, INTERNAL, 'uploads');
    this.turns = new Map(); // of each upload: the end of the last call on it
    this.held = new Map(); // of each upload: its holder, and the client that it belongs to
    this.committed = new Map(); // of each upload: who has committed it
    this.calls = {};
    for (const name of ['renew', 'check', 'identity', 'now', 'stat', 'open_reader', 'get_content', 'list',
      'walk', 'put_content', 'delete', 'delete_many', 'move', 'checksum', 'stored_name', 'open_upload',
      'put_part', 'sync_upload', 'release_upload', 'upload_state', 'complete_upload', 'abort_upload',
      'list_uploads']) {
      this.calls[name] = this[name];
    }
  }

  capabilities = {
    get_range: true, put_if_absent: true, upload: true, list_uploads: true,
    walk_with_start_after: true, checksum_algorithms: ['sha256'], late_target: true, move: 'atomic',
    atomic_commit: true, list_after_write: true, durable_on_commit: true, ordered_walk: true,
    fresh_reads: true, pinned_reads: true, bounded_memory: true, abort_frees: true,
    independent_uploads: true, path_alphabet: 'portable', max_path_bytes: 1024,
    max_component_bytes: 255, min_part_size: 0, part_alignment: 1, case_sensitive: true,
  };

  // Where a path is. Nobody gets out of the directory, whatever the client checks.
  place(name) {
    if (typeof name !== 'string' || !/^(\/[A-Za-z0-9._-]{1,255})+$/.test(name) || name.length > 1200
      || name.split('/').some((part) => part === '.' || part === '..')) {
      throw new StoreError('InvalidPathError', 'a path of letters, digits, dot, dash and underscore',
        { path: String(name) });
    }
    return path.join(this.root, name);
  }

  directory(name) {
    return name === '/' ? this.root : this.place(name);
  }

  renew() {}

  async check() {
    await fs.stat(this.root).catch(() => {
      throw new StoreError('ConfigurationError', 'the directory does not exist');
    });
  }

  identity() {
    return { directory: this.root };
  }

  now() {
    return new Date().toISOString().replace('Z', '+00:00');
  }

  stored_name({ path: name }) {
    return name.slice(1);
  }

  // Reading ---------------------------------------------------------------------------------------

  async stat({ path: name }) {
    try {
      const stats = await fs.stat(this.directory(name), { bigint: true });
      return stats.isDirectory() ? { path: name, is_dir: true } : fileInfo(name, stats);
    } catch (error) {
      throw meaning(error, { ENOTDIR: 'PathNotFoundError' });
    }
  }

  async open_reader({ path: name, offset = 0, length, suffix }) {
    let handle;
    try {
      handle = await fs.open(this.place(name), 'r');
      const stats = await handle.stat({ bigint: true });
      const size = Number(stats.size);
      if (stats.isDirectory()) throw new StoreError('PathNotFoundError', 'it is a directory');
      if (offset > size) throw new StoreError('InvalidOffsetError', `${size} bytes`, { offset });
      const start = suffix === undefined ? offset : Math.max(0, size - suffix);
      const end = length === undefined || suffix !== undefined ? size : Math.min(size, offset + length);
      return { head: fileInfo(name, stats), pieces: this.pieces(handle, start, end) };
    } catch (error) {
      await handle?.close();
      throw meaning(error, { ENOTDIR: 'PathNotFoundError' });
    }
  }

  async* pieces(handle, start, end) {
    try {
      while (start < end) {
        const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - start));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
        if (!bytesRead) throw new StoreError('UnavailableError', 'the file became shorter', { temporary: true });
        start += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  }

  async get_content({ path: name }) {
    const { head, pieces } = await this.open_reader({ path: name });
    return { head: { size: head.size }, pieces };
  }

  async checksum({ path: name }) {
    const hash = crypto.createHash('sha256');
    for await (const piece of (await this.open_reader({ path: name })).pieces) hash.update(piece);
    return hash.digest('hex');
  }

  // Listing: in the order of bytes, a directory counted with a slash behind its name ---------------

  list({ path: name, start_after: after, page_size: size = 1000 }) {
    return { pieces: this.pages(this.children(name, after), size) };
  }

  walk({ path: name, start_after: after, page_size: size = 1000 }) {
    return { pieces: this.pages(this.files(name, after), size) };
  }

  async* pages(entries, size) {
    let page = [];
    for await (const entry of entries) {
      page.push(entry);
      if (page.length >= size) {
        yield page;
        page = [];
      }
    }
    if (page.length) yield page;
  }

  async sorted(name) {
    const entries = await fs.readdir(this.directory(name), { withFileTypes: true });
    const base = name === '/' ? '/' : `${name}/`;
    return entries
      .filter((entry) => (entry.isFile() || entry.isDirectory()) && base + entry.name !== `/${INTERNAL}`)
      .map((entry) => ({ path: base + entry.name, isDirectory: entry.isDirectory() }))
      .map((entry) => ({ ...entry, key: entry.isDirectory ? `${entry.path}/` : entry.path }))
      .sort((one, other) => (one.key < other.key ? -1 : 1));
  }

  async* children(name, after) {
    let entries;
    try {
      entries = await this.sorted(name);
    } catch (error) {
      throw meaning(error, { ENOTDIR: 'PathNotFoundError' });
    }
    for (const entry of entries) {
      if (after !== undefined && entry.key <= after) continue;
      if (entry.isDirectory) yield { path: entry.path, is_dir: true };
      else yield* this.info(entry.path);
    }
  }

  async* files(name, after, isBelow = false) {
    let entries;
    try {
      entries = await this.sorted(name);
    } catch (error) {
      if (isBelow && error.code === 'ENOENT') return; // emptied by somebody since it was listed
      throw meaning(error, { ENOTDIR: 'PathNotFoundError' });
    }
    for (const { path: below, isDirectory, key } of entries) {
      if (isDirectory) {
        if (after === undefined || key > after || after.startsWith(key)) yield* this.files(below, after, true);
      } else if (after === undefined || below > after) {
        yield* this.info(below);
      }
    }
  }

  async* info(name) {
    try {
      yield fileInfo(name, await fs.stat(this.place(name), { bigint: true }));
    } catch (error) {
      if (error.code !== 'ENOENT') throw meaning(error); // deleted since it was listed
    }
  }

  // Changing --------------------------------------------------------------------------------------

  // A put is an upload that nobody else knows of; after a crash the purge finds what is left of it.
  async put_content({ path: name, if_absent: ifAbsent }, data, { isGone }) {
    const options = { is_put: true };
    const upload = await this.open_upload({ path: name, holder: crypto.randomUUID(), options });
    try {
      await this.put_part({ upload, number: 1, offset: 0 }, data);
      if (isGone()) throw new StoreError('UnavailableError', 'the client is gone');
      return await this.complete_upload({ upload, options: { path: name, size: data.length, if_absent: ifAbsent } });
    } catch (error) {
      await this.abort_upload({ upload }).catch(() => {});
      throw error;
    }
  }

  // Gives `source` the name `target`, durably; directories appear by themselves.
  async publish(source, target, ifAbsent) {
    for (;;) {
      try {
        const made = await fs.mkdir(path.dirname(target), { recursive: true });
        if (ifAbsent) {
          await fs.link(source, target);
          await fs.unlink(source);
        } else {
          await fs.rename(source, target);
        }
        for (let at = path.dirname(target); ; at = path.dirname(at)) {
          await syncDirectory(at);
          if (!made || at === path.dirname(made)) return;
        }
      } catch (error) {
        // Somebody has removed an empty directory just then.
        if (error.code === 'ENOENT' && await fs.stat(source).catch(() => null)) continue;
        if (error.code === 'EEXIST') {
          const there = await fs.stat(target).catch(() => null);
          if (!there || there.isDirectory()) throw new StoreError('ConflictError', 'it is a directory, or below a file');
        }
        throw meaning(error);
      }
    }
  }

  async move({ source, target }) {
    const from = this.place(source);
    const stats = await fs.stat(from).catch((error) => {
      throw meaning(error, { ENOTDIR: 'PathNotFoundError' });
    });
    if (stats.isDirectory()) throw new StoreError('PathNotFoundError', 'it is a directory', { path: source });
    await this.publish(from, this.place(target), false);
    await this.prune(path.dirname(from));
  }

  async delete({ path: name }) {
    const at = this.directory(name);
    let stats;
    try {
      stats = await fs.stat(at);
    } catch (error) {
      throw meaning(error, { ENOTDIR: 'PathNotFoundError' });
    }
    if (!stats.isDirectory()) {
      await fs.unlink(at).catch((error) => { throw meaning(error); });
      return this.prune(path.dirname(at));
    }
    const names = name === '/' ? (await fs.readdir(at)).filter((one) => one !== INTERNAL) : ['.'];
    for (const one of names) {
      await fs.rm(path.join(at, one), { recursive: true, force: true, maxRetries: 5 });
    }
    return name === '/' ? undefined : this.prune(path.dirname(at));
  }

  async delete_many({ paths }) {
    const report = { deleted: [], missing: [], failed: {} };
    for (const name of paths) {
      try {
        await this.delete({ path: name });
        report.deleted.push(name);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.json.type === 'PathNotFoundError') report.missing.push(name);
        else report.failed[name] = error.json;
      }
    }
    return report;
  }

  // Removes directories that have become empty.
  async prune(at) {
    try {
      for (; at.startsWith(`${this.root}${path.sep}`) && at !== this.uploads; at = path.dirname(at)) {
        await fs.rmdir(at);
      }
    } catch {
      // It is not empty, or another has removed it.
    }
  }

  // Uploads ---------------------------------------------------------------------------------------

  // One call after the other on each upload, so that nobody writes to what another has taken over.
  async inTurn(id, work) {
    if (!/^[0-9a-f]{32}$/.test(id)) throw new StoreError('UploadNotFoundError');
    const before = this.turns.get(id) ?? Promise.resolve();
    const turn = before.then(work, work);
    const end = turn.catch(() => {});
    this.turns.set(id, end);
    try {
      return await turn;
    } finally {
      if (this.turns.get(id) === end) this.turns.delete(id);
    }
  }

  dataOf({ upload_id: id, holder }) {
    return path.join(this.uploads, id, `data.${path.basename(holder || 'nobody')}`);
  }

  // The file of an upload, which its holder alone finds.
  async openData(upload, flags) {
    try {
      return await fs.open(this.dataOf(upload), flags);
    } catch (error) {
      if (error.code !== 'ENOENT') throw meaning(error);
      const there = await fs.stat(path.join(this.uploads, upload.upload_id)).catch(() => null);
      throw there ? new StoreError('ConflictError', 'another writer has resumed the upload')
        : new StoreError('UploadNotFoundError');
    }
  }

  async readInfo(id) {
    try {
      return JSON.parse(await fs.readFile(path.join(this.uploads, id, 'info.json'), 'utf8'));
    } catch (error) {
      throw meaning(error, { ENOENT: 'UploadNotFoundError' });
    }
  }

  async writeInfo(id, info) {
    const name = path.join(this.uploads, id, 'info.json');
    await fs.writeFile(`${name}.new`, JSON.stringify(info), { flush: true });
    await fs.rename(`${name}.new`, name);
  }

  hold(upload, client) {
    if (client) this.held.set(upload.upload_id, { holder: upload.holder, ...client });
  }

  isHeld(id) {
    const held = this.held.get(id);
    if (held && !held.sessions.lives(held.session)) this.held.delete(id);
    return this.held.has(id);
  }

  async open_upload({ path: name, holder, options = {} }, _, client) {
    this.place(name);
    await this.check();
    const upload = { path: name, upload_id: crypto.randomBytes(16).toString('hex'), holder, options };
    try {
      await fs.mkdir(path.join(this.uploads, upload.upload_id), { recursive: true });
      await this.writeInfo(upload.upload_id, { path: name, options, began: this.now(), cuts: [] });
      const handle = await fs.open(this.dataOf(upload), 'wx');
      try {
        upload.data = { file: identity(await handle.stat({ bigint: true })) };
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw meaning(error);
    }
    this.hold(upload, client);
    return upload;
  }

  put_part({ upload, number, offset }, data) {
    return this.inTurn(upload.upload_id, async () => {
      const handle = await this.openData(upload, 'r+');
      try {
        for (let done = 0; done < data.length;) {
          done += (await handle.write(data, done, data.length - done, offset + done)).bytesWritten;
        }
        return { number, offset, size: data.length };
      } catch (error) {
        throw meaning(error);
      } finally {
        await handle.close();
      }
    });
  }

  sync_upload({ upload }) {
    return this.inTurn(upload.upload_id, async () => {
      const handle = await this.openData(upload, 'r+');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
      await syncDirectory(path.join(this.uploads, upload.upload_id));
      await syncDirectory(this.uploads);
    });
  }

  release_upload({ upload }) {
    const held = this.held.get(upload.upload_id);
    if (held?.holder === upload.holder) this.held.delete(upload.upload_id);
  }

  upload_state({ upload, size }, _, client) {
    return this.inTurn(upload.upload_id, async () => {
      const id = upload.upload_id;
      const names = await fs.readdir(path.join(this.uploads, id)).catch(() => []);
      const old = names.find((name) => name.startsWith('data.'));
      if (!old) {
        const info = await this.publishedBy(upload, upload.path);
        return { size: info.size, completed: info };
      }
      const info = await this.readInfo(id);
      const known = Number(upload.data?.cut ?? 0);
      if (info.cuts.some(([number, at]) => number > known && at < size)) {
        throw new StoreError('ConflictError', 'the upload was resumed from an older token since');
      }
      const from = path.join(this.uploads, id, old);
      const there = Number((await fs.stat(from)).size);
      if (there < size) throw new StoreError('UploadNotFoundError', `${there} bytes, not ${size}`);
      if (there > size) {
        // First the note, then the cut: a token that promised these bytes must not go on.
        const next = (info.cuts.at(-1)?.[0] ?? 0) + 1;
        info.cuts = [...info.cuts.filter(([, at]) => at < size), [next, size]];
        await this.writeInfo(id, info);
        await fs.truncate(from, size);
      }
      await fs.rename(from, this.dataOf(upload));
      this.hold(upload, client);
      return { size, data: { ...upload.data, cut: String(info.cuts.at(-1)?.[0] ?? 0) } };
    });
  }

  // The object at a path, if it is the file of this very upload.
  async publishedBy(upload, name) {
    const stats = await fs.stat(this.place(name), { bigint: true }).catch(() => null);
    if (!stats || identity(stats) !== upload.data?.file) {
      throw new StoreError('UploadNotFoundError', 'it is gone, or was committed', { outcome: 'unknown' });
    }
    return fileInfo(name, stats);
  }

  complete_upload({ upload, options: { path: name, size, if_absent: ifAbsent } }) {
    const target = this.place(name);
    return this.inTurn(upload.upload_id, async () => {
      let handle;
      try {
        handle = await this.openData(upload, 'r+');
      } catch (error) {
        if (error.json?.type !== 'UploadNotFoundError') throw error;
        const info = await this.publishedBy(upload, name);
        if (this.committed.get(upload.upload_id) === upload.holder) return info;
        throw new StoreError('ConflictError', 'another writer has committed the upload');
      }
      let stats;
      try {
        const there = (await handle.stat()).size;
        if (there < size) throw new StoreError('ConflictError', `${there} bytes, not ${size}`);
        if (there > size) await handle.truncate(size);
        await handle.sync();
        await this.publish(this.dataOf(upload), target, ifAbsent);
        stats = await handle.stat({ bigint: true });
      } catch (error) {
        throw meaning(error);
      } finally {
        await handle.close();
      }
      this.committed.set(upload.upload_id, upload.holder);
      if (this.committed.size > REMEMBERED) this.committed.delete(this.committed.keys().next().value);
      await this.forget(upload);
      return fileInfo(name, stats);
    });
  }

  abort_upload({ upload }) {
    return this.inTurn(upload.upload_id, async () => {
      await fs.stat(path.join(this.uploads, upload.upload_id)).catch((error) => {
        throw meaning(error, { ENOENT: 'UploadNotFoundError' });
      });
      if (!upload.holder && this.isHeld(upload.upload_id)) {
        throw new StoreError('ConflictError', 'a writer holds the upload');
      }
      await this.forget(upload);
    });
  }

  async forget({ upload_id: id }) {
    this.held.delete(id);
    await fs.rm(path.join(this.uploads, id), { recursive: true, force: true });
  }

  list_uploads() {
    return { pieces: this.pages(this.eachUpload(), 1000) };
  }

  async* eachUpload() {
    await this.check();
    for (const id of await fs.readdir(this.uploads).catch(() => [])) {
      try {
        // Of a run that was killed right at the beginning there is nothing to read.
        const info = await this.readInfo(id).catch(() => ({ path: '/unknown', options: {} }));
        const data = (await fs.readdir(path.join(this.uploads, id))).find((name) => name.startsWith('data.'));
        const stats = await fs.stat(path.join(this.uploads, id, data ?? '.'), { bigint: true });
        const changed = fileInfo('', stats).mod_time;
        yield {
          upload: { path: info.path, upload_id: id, options: info.options },
          // The clock of files goes in ticks, and may say a moment before.
          started_at: info.began < changed ? info.began : changed, updated_at: changed,
          size: data ? Number(stats.size) : 0, active: this.isHeld(id),
        };
      } catch (error) {
        if (error.code !== 'ENOENT') throw meaning(error);
      }
    }
  }
}

module.exports = { DirectoryStore };
