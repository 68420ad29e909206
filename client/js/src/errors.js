/*
 * errors: what goes wrong, in one class.
 *
 * Codes of the daemon (below 1000) are the table of protocol/PROTOCOL.md; from 1000 on they are this package's own.
 */

const NAMES = new Map([
  [100, "malformed"],
  [101, "frame_too_large"],
  [102, "no_common_version"],
  [103, "hello_expected"],
  [104, "unknown_op"],
  [105, "bad_argument"],
  [200, "entry_before_meta"],
  [201, "meta_missing"],
  [202, "replica_type_mismatch"],
  [203, "sync_mode_mismatch"],
  [204, "bad_meta"],
  [205, "too_large"],
  [300, "conflict"],
  [301, "changed"],
  [400, "busy"],
  [401, "denied"],
  [402, "read_only"],
  [403, "store_in_use"],
  [404, "too_many_connections"],
  [500, "disk_full"],
  [501, "io_error"],
  [502, "corrupt"],
  [503, "draining"],
  [504, "incompatible_format"],
  [505, "no_such_store"],
  [1002, "closed"],
  [1003, "socket"],
  [1004, "protocol"],
  [1005, "misuse"],
  [1006, "restarted"],
])

export const CODE = {
  FRAME_TOO_LARGE: 101,
  ENTRY_BEFORE_META: 200,
  META_MISSING: 201,
  REPLICA_TYPE_MISMATCH: 202,
  SYNC_MODE_MISMATCH: 203,
  CHANGED: 301,
  BUSY: 400,
  TOO_MANY_CONNECTIONS: 404,
  IO_ERROR: 501,
  DRAINING: 503,
  CLOSED: 1002,
  SOCKET: 1003,
  PROTOCOL: 1004,
  MISUSE: 1005,
  RESTARTED: 1006,
}

/** A reason outside the write itself: the document's later writes must not be applied without it. */
export function isOutside(number) {
  return (number >= 400 && number <= 599) || number === CODE.SOCKET
}

export class DaemonStoreError extends Error {
  /**
   * @param {number} number
   * @param {string} message
   * @param {{outcome?: "not-applied" | "unknown", operation?: string, docId?: string, reason?: string, cause?: unknown}} [more]
   */
  constructor(number, message, more = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.number = number
    this.code = NAMES.get(number) ?? `code_${number}`
    this.outcome = more.outcome
    this.operation = more.operation
    this.docId = more.docId
    this.reason = more.reason
  }
}

Object.defineProperty(DaemonStoreError.prototype, "name", {
  value: "DaemonStoreError",
  configurable: true,
  writable: true,
})
