/*
 * messages: requests and replies of protocol/PROTOCOL.md, the two directions of each record side by side.
 */
import { CODE, DaemonStoreError } from "./errors.js"
import { requireText } from "./msgpack.js"

export const HELLO = 0
export const APPEND = 1
export const LOAD_ALL = 2
export const REPLACE = 3
export const DELETE = 4
export const CURRENT_META = 5
export const LIST_DOC_IDS = 6
export const CLOSE = 7
export const RESUME = 11

export const OPERATIONS = [
  "hello",
  "append",
  "loadAll",
  "replace",
  "delete",
  "currentMeta",
  "listDocIds",
  "close",
  "ping",
  "sync",
  "stats",
  "resume",
]

export const HELLO_ID = 1
export const PROTOCOL_VERSION = 1
export const HELLO_FRAME_MAX = 4096
export const REPLY_FRAME_MAX = 2 ** 30

export const EVENT_DRAINING = 1

const KINDS = ["entirety", "since"]
const ENCODINGS = ["json", "binary"]

export function isWrite(op) {
  return op === APPEND || op === REPLACE || op === DELETE
}

/** The two that list, and close: they see, or wait for, the writes of all documents. */
export function waitsForAllWrites(op) {
  return op === LIST_DOC_IDS || op === CLOSE
}

/* ---- records ---- */

function misuse(message) {
  return new DaemonStoreError(CODE.MISUSE, message)
}

function requireOneOf(values, value, what) {
  const index = values.indexOf(value)
  if (index < 0) throw misuse(`${what} must be one of ${values.join(", ")}, not ${String(value)}`)
  return index
}

function writeMeta(writer, record) {
  const meta = record.meta
  if (typeof meta !== "object" || meta === null || Array.isArray(meta)) throw misuse("record.meta must be an object")
  const json = JSON.stringify(meta)
  // JSON writes a lone surrogate as an escape, which is text like any other.
  if (json === undefined) throw misuse("record.meta has no JSON")
  writer.array(2)
  writer.uint(0)
  writer.text(json)
}

function writeEntry(writer, record) {
  const payload = record.payload
  if (typeof payload !== "object" || payload === null) throw misuse("record.payload must be an object")
  const { data, lineage } = payload
  const kind = requireOneOf(KINDS, payload.kind, "record.payload.kind")
  const encoding = requireOneOf(ENCODINGS, payload.encoding, "record.payload.encoding")
  requireText(record.version, "record.version")
  writer.array(lineage === undefined ? 5 : 6)
  writer.uint(1)
  writer.uint(kind)
  writer.uint(encoding)
  writer.text(record.version)
  if (data instanceof Uint8Array) {
    writer.binary(data)
  } else {
    requireText(data, "record.payload.data")
    writer.text(data)
  }
  if (lineage !== undefined) {
    requireText(lineage, "record.payload.lineage")
    writer.text(lineage)
  }
}

/** Throws if the record is none; then what was written is to be cancelled. */
export function writeRecord(writer, record) {
  if (typeof record !== "object" || record === null) throw misuse("a record must be an object")
  if (record.kind === "meta") writeMeta(writer, record)
  else if (record.kind === "entry") writeEntry(writer, record)
  else throw misuse(`record.kind must be meta or entry, not ${String(record.kind)}`)
}

/** The next record of a page, as the reference gives it: the same keys in the same order. */
export function readRecord(reader) {
  const elements = reader.array()
  const type = reader.uint()
  let record
  let known
  if (type === 0) {
    record = { kind: "meta", meta: JSON.parse(reader.text()) }
    known = 2
  } else if (type === 1) {
    const kind = KINDS[reader.uint()]
    const encoding = ENCODINGS[reader.uint()]
    const version = reader.text()
    const data = reader.isText() ? reader.text() : reader.binary()
    known = 5
    if (elements > 5 && !reader.isNil()) {
      record = { kind: "entry", payload: { kind, encoding, data, lineage: reader.text() }, version }
      known = 6
    } else {
      record = { kind: "entry", payload: { kind, encoding, data }, version }
      if (elements > 5) known = 6
    }
  } else {
    throw new RangeError("a record of an unknown kind")
  }
  for (let i = known; i < elements; i++) reader.skip()
  return record
}

/** Is one of the next records an entirety? Moves the reader. */
export function hasEntirety(reader, count) {
  for (let i = 0; i < count; i++) {
    const elements = reader.array()
    let rest = elements - 1
    if (reader.uint() === 1) {
      rest--
      if (reader.uint() === 0) return true
    }
    for (; rest > 0; rest--) reader.skip()
  }
  return false
}

/* ---- replies ---- */

/** A message that is an error, from behind its code. */
export function readError(reader, code, elements, call) {
  const message = elements > 2 && !reader.isNil() ? reader.text() : ""
  let outcome
  let reason
  if (elements > 3 && !reader.isNil()) outcome = reader.uint()
  if (elements > 4 && reader.isText()) reason = reader.text()
  return new DaemonStoreError(code, message || `the daemon answered with code ${code}`, {
    outcome: outcome === 0 ? "not-applied" : outcome === 1 ? "unknown" : undefined,
    operation: call ? OPERATIONS[call.op] : undefined,
    docId: call?.doc ?? undefined,
    reason,
  })
}

/** [version, daemon, layout, through, frame limit, in-flight limit], from behind the code. */
export function readHello(reader, elements) {
  const version = reader.uint()
  const optionalUint = (index, otherwise) => (elements > index && !reader.isNil() ? reader.uint() : otherwise)
  const daemon = elements > 3 && !reader.isNil() ? reader.text() : ""
  const layout = optionalUint(4, 0)
  const through = optionalUint(5, 0)
  const frameLimit = optionalUint(6, 0) || 64 * 1024 * 1024
  const inFlightLimit = optionalUint(7, 0) || 1024
  return { version, daemon, layout, through, frameLimit, inFlightLimit }
}
