/*
 * kyneta-daemon-store: an Exchange's store, kept by kyneta-stored.
 *
 *     const exchange = new Exchange({ stores: [await createDaemonStore()] })
 */
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import process from "node:process"
import { CODE, DaemonStoreError } from "./errors.js"
import { HELLO, HELLO_FRAME_MAX, HELLO_ID, PROTOCOL_VERSION } from "./messages.js"
import { FrameWriter, requireText } from "./msgpack.js"
import { DaemonStore } from "./store.js"

export { DaemonStoreError }

export const VERSION = "0.1.0"

const DEFAULT_SOCKET = "/run/kyneta-store/kyneta-store.sock"

const PATH_MAX_BYTES = 107

const ACCESS = ["read-write", "read-only", "exclusive"]
const DURABILITY = ["committed", "synced"]
const SETTLE = ["sent", "done"]

export const DEFAULT_RECONNECT = Object.freeze({ enabled: true, maxAttempts: Infinity, baseDelay: 100, maxDelay: 5000 })

const OPTIONS = [
  "path",
  "name",
  "tables",
  "layout",
  "access",
  "durability",
  "settle",
  "reconnect",
  "onError",
  "onState",
  "queueBytes",
  "pageBytes",
]

function misuse(message) {
  return new DaemonStoreError(CODE.MISUSE, `createDaemonStore: ${message}`)
}

function requireOneOf(values, value, name) {
  if (!values.includes(value)) throw misuse(`${name} must be one of ${values.join(", ")}, not ${String(value)}`)
}

function requireKeys(object, keys, name) {
  if (typeof object !== "object" || object === null) throw misuse(`${name} must be an object`)
  for (const key of Object.keys(object))
    if (!keys.includes(key)) throw misuse(`unknown option ${name === "options" ? key : `${name}.${key}`}; there are ${keys.join(", ")}`)
}

function requireNumber(value, least, name) {
  if (typeof value !== "number" || !(value >= least)) throw misuse(`${name} must be a number of at least ${least}`)
}

function requireFunction(value, name) {
  if (typeof value !== "function") throw misuse(`${name} must be a function`)
}

/** @param {Error} error */
function printError(error) {
  console.error(`kyneta-daemon-store: a write that was settled before has failed: ${error.message}`)
}

/** Who waits for a daemon that never comes should see it, once. */
function printWaiting() {
  let isOver = false
  return (/** @type {string} */ state, /** @type {Error | undefined} */ error) => {
    if (!isOver && state === "connecting" && error !== undefined)
      console.warn(`kyneta-daemon-store: ${error.message}; waiting for the daemon`)
    isOver = true
  }
}

function readOptions(given) {
  requireKeys(given, OPTIONS, "options")
  const options = {
    path: given.path || process.env.KYNETA_STORE_SOCKET || DEFAULT_SOCKET,
    name: given.name ?? `kyneta-daemon-store ${VERSION}, process ${process.pid}`,
    tables: given.tables ?? {},
    layout: given.layout,
    access: given.access ?? "read-write",
    durability: given.durability === undefined ? undefined : DURABILITY.indexOf(given.durability),
    settle: given.settle ?? "sent",
    reconnect: { ...DEFAULT_RECONNECT, ...given.reconnect },
    onError: given.onError ?? printError,
    onState: given.onState ?? printWaiting(),
    queueBytes: given.queueBytes ?? 16 * 1024 * 1024,
    pageBytes: given.pageBytes ?? 512 * 1024,
  }
  requireText(options.path, "path")
  if (Buffer.byteLength(options.path) > PATH_MAX_BYTES || options.path.includes("\0"))
    throw misuse(`the path of the socket is longer than ${PATH_MAX_BYTES} bytes, which is all that the kernel takes, or has NUL`)
  requireText(options.name, "name")
  requireKeys(options.tables, ["docMeta", "records", "storeMeta"], "tables")
  for (const [key, name] of Object.entries(options.tables)) if (name !== undefined) requireText(name, `tables.${key}`)
  if (options.layout !== undefined) requireOneOf([1, 2], options.layout, "layout")
  requireOneOf(ACCESS, options.access, "access")
  if (given.durability !== undefined) requireOneOf(DURABILITY, given.durability, "durability")
  requireOneOf(SETTLE, options.settle, "settle")
  requireKeys(options.reconnect, Object.keys(DEFAULT_RECONNECT), "reconnect")
  requireNumber(options.reconnect.maxAttempts, 1, "reconnect.maxAttempts")
  requireNumber(options.reconnect.baseDelay, 0, "reconnect.baseDelay")
  requireNumber(options.reconnect.maxDelay, 0, "reconnect.maxDelay")
  requireFunction(options.onError, "onError")
  requireFunction(options.onState, "onState")
  requireNumber(options.queueBytes, 0, "queueBytes")
  requireNumber(options.pageBytes, 0, "pageBytes")
  return options
}

/** The frame of hello, the same on every connection. */
function makeHello(options) {
  const writer = new FrameWriter()
  const { docMeta, records, storeMeta } = options.tables
  const store = [
    ["meta", docMeta],
    ["records", records],
    ["store", storeMeta],
    ["layout", options.layout],
  ].filter(([, value]) => value !== undefined)
  writer.begin(HELLO_ID, HELLO, 9)
  writer.text("kyneta-store")
  writer.uint(PROTOCOL_VERSION)
  writer.uint(PROTOCOL_VERSION)
  writer.text(options.name)
  if (store.length === 0) {
    writer.nil()
  } else {
    writer.map(store.length)
    for (const [key, value] of store) {
      writer.text(key)
      if (typeof value === "number") writer.uint(value)
      else writer.text(value)
    }
  }
  writer.uint(ACCESS.indexOf(options.access))
  writer.binary(randomBytes(16))
  writer.end()
  if (writer.at - writer.start - 4 > HELLO_FRAME_MAX)
    throw misuse(`name and tables are longer than hello can hold (${HELLO_FRAME_MAX} bytes in all)`)
  return writer.bytes.subarray(writer.start, writer.at)
}

/** Connects, and resolves to the store once the daemon has answered. */
export async function createDaemonStore(given = {}) {
  const options = readOptions(given)
  const store = new DaemonStore({ ...options, hello: makeHello(options) })
  return store.open()
}
