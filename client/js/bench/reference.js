/*
 * reference: better-sqlite3 as @kyneta/sqlite-store 3.0 drives it: for each append one SELECT of the metadata, then one
 * transaction of freshly prepared statements; for a load, rows as they are stepped; for a prefix, LIKE.
 *
 * The steps are the package's, one for one; what it imports from @kyneta/exchange is written out.
 */
import { createRequire } from "node:module"
import path from "node:path"
import process from "node:process"

const require = createRequire(path.join(process.env.KYNETA_BENCH_MODULES ?? "build/js-bench", "x.js"))
const Database = require("better-sqlite3")

const META_TABLE = "kyneta_doc_meta"
const RECORDS_TABLE = "kyneta_records"

export class ReferenceStore {
  #db
  #next = new Map()

  constructor(file, synchronous) {
    this.#db = new Database(file)
    this.#db.exec("PRAGMA journal_mode = WAL")
    this.#db.exec(`PRAGMA synchronous = ${synchronous}`)
    this.#db.exec(`
      CREATE TABLE IF NOT EXISTS ${META_TABLE} (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS ${RECORDS_TABLE} (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        payload TEXT, blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;`)
  }

  #exec(sql, ...params) {
    this.#db.prepare(sql).run(...params)
  }

  #iterate(sql, ...params) {
    return this.#db.prepare(sql).iterate(...params)
  }

  async append(docId, record) {
    const existing = await this.currentMeta(docId)
    const seq = await this.#takeSeq(docId)
    if (record.kind === "entry" && existing === null)
      throw new Error(`Store: first record for doc '${docId}' must be meta, got entry`)
    const row = toRow(record)
    this.#db.transaction(() => {
      if (record.kind === "meta")
        this.#exec(`INSERT OR REPLACE INTO ${META_TABLE} (doc_id, data) VALUES (?, ?)`, docId, row.payload)
      this.#exec(
        `INSERT INTO ${RECORDS_TABLE} (doc_id, seq, kind, payload, blob) VALUES (?, ?, ?, ?, ?)`,
        docId,
        seq,
        row.kind,
        row.payload,
        row.blob,
      )
    })()
  }

  async #takeSeq(docId) {
    let next = this.#next.get(docId)
    if (next === undefined) {
      const [row] = this.#iterate(`SELECT MAX(seq) AS max_seq FROM ${RECORDS_TABLE} WHERE doc_id = ?`, docId)
      next = (row?.max_seq ?? -1) + 1
    }
    this.#next.set(docId, next + 1)
    return next
  }

  async *loadAll(docId) {
    for (const row of this.#iterate(`SELECT kind, payload, blob FROM ${RECORDS_TABLE} WHERE doc_id = ? ORDER BY seq`, docId))
      yield fromRow(row)
  }

  async currentMeta(docId) {
    const [row] = this.#iterate(`SELECT data FROM ${META_TABLE} WHERE doc_id = ?`, docId)
    return row === undefined ? null : JSON.parse(row.data)
  }

  async *listDocIds(prefix) {
    const like = `${prefix.replace(/[%_\\]/g, ch => `\\${ch}`)}%`
    for (const row of this.#iterate(`SELECT doc_id FROM ${META_TABLE} WHERE doc_id LIKE ? ESCAPE '\\'`, like)) yield row.doc_id
  }

  async flush() {}

  async close() {
    this.#db.close()
  }

  /** The same database once more, in a file with the daemon's page size. */
  copyTo(file, pageSize) {
    this.#db.pragma(`page_size = ${pageSize}`)
    this.#exec("VACUUM INTO ?", file)
  }

  /** Versions of the package and of the SQLite in it. */
  versions() {
    const [{ version }] = this.#iterate("SELECT sqlite_version() AS version")
    return `better-sqlite3 ${require("better-sqlite3/package.json").version} (SQLite ${version})`
  }
}

/** SQLite in this process as it is used best: statements prepared once, as many appends in a transaction as are given. */
export class BatchStore {
  #db
  #insert
  #next = new Map()

  constructor(file) {
    this.#db = new Database(file)
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    this.#insert = this.#db.prepare(`INSERT INTO ${RECORDS_TABLE} (doc_id, seq, kind, payload, blob) VALUES (?, ?, ?, ?, ?)`)
  }

  appendAll(appends) {
    this.#db.transaction(() => {
      for (const [docId, record] of appends) {
        const seq = this.#next.get(docId) ?? 1
        const row = toRow(record)
        this.#insert.run(docId, seq, row.kind, row.payload, row.blob)
        this.#next.set(docId, seq + 1)
      }
    })()
  }

  async close() {
    this.#db.close()
  }
}

function toRow(record) {
  if (record.kind === "meta") return { kind: "meta", payload: JSON.stringify(record.meta), blob: null }
  const { payload, version } = record
  const lineage = payload.lineage !== undefined ? { lineage: payload.lineage } : {}
  const { kind, encoding, data } = payload
  if (data instanceof Uint8Array)
    return { kind: "entry", payload: JSON.stringify({ kind, encoding, version, ...lineage }), blob: data }
  return { kind: "entry", payload: JSON.stringify({ kind, encoding, version, data, ...lineage }), blob: null }
}

function fromRow(row) {
  if (row.kind === "meta") return { kind: "meta", meta: JSON.parse(row.payload) }
  const json = JSON.parse(row.payload)
  const { blob } = row
  const data = blob === null ? json.data : new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength)
  const payload = { kind: json.kind, encoding: json.encoding, data, ...(json.lineage !== undefined ? { lineage: json.lineage } : {}) }
  return { kind: "entry", payload, version: json.version }
}
