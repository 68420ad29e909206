/*
 * stream: loadAll and listDocIds, page by page.
 *
 * The next page is asked for when the consumer begins with the one before it: never more than one page ahead. Records
 * are read from a page one at a time, when they are wanted. A cursor is all that the daemon needs to go on, and it is
 * here: so a lost connection costs a stream nothing.
 *
 * At the start a load holds its pages back, up to HOLD_BYTES: as long as nothing was handed out, a document that is
 * replaced or deleted meanwhile (`changed`) is simply read again. If records were handed out already, the new stream is
 * held back until it shows an entirety, which stands for everything before it, and then goes on with all of it. Without
 * one the read fails: never does it end as if that had been all.
 */
import { Buffer } from "node:buffer"
import { CODE, DaemonStoreError } from "./errors.js"
import { hasEntirety, LIST_DOC_IDS, LOAD_ALL, readRecord } from "./messages.js"
import { Reader } from "./msgpack.js"
import { Call } from "./queue.js"
import { isTurnOver, nextTurn } from "./turn.js"

const HOLD_BYTES = 8 * 1024 * 1024

/** A page that makes up less of the memory it came in than this is copied out. */
const OWN_SHARE = 0.5

/** A part of the stream that has arrived. */
class Page {
  constructor(reader, count, size) {
    this.reader = reader
    this.left = count
    this.size = size
  }
}

/**
 * @template T
 * @implements {AsyncIterableIterator<T>}
 */
export class Stream {
  /**
   * @param {import("./session.js").Session} session
   * @param {number} op
   * @param {string} name of the document, or the prefix
   * @param {{limit: number, onStep: () => void, onRestart: () => void}} options
   */
  constructor(session, op, name, options) {
    this.session = session
    this.op = op
    this.name = name
    this.options = options
    /** @type {Page[]} */
    this.pages = []
    this.cursor = /** @type {Uint8Array | null} */ (null)
    this.call = /** @type {Call | null} */ (null)
    this.waiters = /** @type {{resolve: Function, reject: Function}[]} */ ([])
    this.error = /** @type {Error | null} */ (null)
    this.last = false
    this.started = false
    this.stopped = false
    this.parked = false
    /** Records were handed out. */
    this.handed = false
    /** What is held may be handed out. */
    this.releasing = op === LIST_DOC_IDS
    /** Held until an entirety is seen. */
    this.proving = false
    this.held = 0
  }

  /** Ask for the first page. */
  begin() {
    this.#ask()
  }

  /** It cannot be asked for. */
  refuse(error) {
    this.#refused(error)
  }

  [Symbol.asyncIterator]() {
    return this
  }

  next() {
    this.options.onStep()
    this.started = true
    if (this.waiters.length === 0 && !this.parked) {
      const page = this.pages[0]
      if (page !== undefined && page.left > 0 && this.releasing && !isTurnOver()) {
        try {
          return Promise.resolve({ value: this.#read(page), done: false })
        } catch (error) {
          this.#fail(error)
        }
      }
    }
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject })
      this.#run(false)
    })
  }

  return(value) {
    this.#stop()
    return Promise.resolve({ value, done: true })
  }

  throw(error) {
    this.#stop()
    return Promise.reject(error)
  }

  #stop() {
    this.stopped = true
    this.pages = []
    this.last = true
    this.error = null
    if (this.call !== null) this.session.abandon(this.call)
    this.call = null
    this.#run(false)
  }

  #read(page) {
    const value = this.op === LOAD_ALL ? readRecord(page.reader) : page.reader.text()
    page.left--
    this.handed = true
    if (page.left === 0) {
      this.pages.shift()
      this.held -= page.size
    }
    if (this.call === null && !this.last && this.pages.length <= 1) this.#ask()
    return value
  }

  #fail(error) {
    this.pages = []
    this.last = true
    this.error =
      error instanceof DaemonStoreError
        ? error
        : new DaemonStoreError(CODE.PROTOCOL, `a record could not be read: ${error.message}`, { cause: error })
  }

  /** Serve who waits, as far as it goes. */
  #run(hasTurn) {
    if (this.parked) return
    while (this.waiters.length > 0) {
      const page = this.pages[0]
      if (page !== undefined && this.releasing) {
        if (page.left === 0) {
          this.pages.shift()
          this.held -= page.size
          continue
        }
        if (!hasTurn && isTurnOver()) {
          this.parked = true
          nextTurn(() => {
            this.parked = false
            this.#run(true)
          })
          return
        }
        hasTurn = false
        const waiter = /** @type {any} */ (this.waiters.shift())
        try {
          waiter.resolve({ value: this.#read(page), done: false })
        } catch (error) {
          this.waiters.unshift(waiter)
          this.#fail(error)
        }
      } else if (this.error !== null) {
        const { reject } = /** @type {any} */ (this.waiters.shift())
        const error = this.error
        this.error = null
        reject(error)
      } else if (this.last) {
        const { resolve } = /** @type {any} */ (this.waiters.shift())
        resolve({ value: undefined, done: true })
      } else {
        this.#ask()
        return
      }
    }
  }

  /* ---- pages ---- */

  /** Ask for the next page, unless one is on its way already, or enough is here. */
  #ask() {
    if (this.call !== null || this.last || this.stopped) return
    const { session } = this
    if (session.phase === "closed") {
      this.#fail(session.endedBy)
      return
    }
    const call = new Call(this.op, this.op === LOAD_ALL ? this.name : null)
    session.begin(call, 5)
    session.writer.text(this.name)
    if (this.cursor === null) session.writer.nil()
    else session.writer.binary(this.cursor)
    session.writer.uint(this.options.limit)
    call.answered = (reader, elements) => {
      this.call = null
      this.#arrived(reader, elements)
    }
    call.failed = error => {
      this.call = null
      this.#refused(error)
    }
    this.call = call
    session.submit(call)
  }

  #arrived(reader, elements) {
    if (elements < 3) throw new RangeError("a page without its items")
    const count = reader.array()
    const start = reader.at
    for (let i = 0; i < count; i++) reader.skip()
    const end = reader.at
    if (this.op === LOAD_ALL && elements > 3) reader.skip()
    const cursorAt = this.op === LOAD_ALL ? 4 : 3
    this.cursor = elements > cursorAt && !reader.isNil() ? reader.binary() : null
    this.last = this.cursor === null
    this.pages.push(new Page(ownReader(reader, start, end), count, end - start))
    this.held += end - start
    if (!this.releasing) this.#considerRelease()
    if (this.started && (!this.releasing || this.pages.length <= 1)) this.#ask()
    this.#run(false)
  }

  #considerRelease() {
    if (!this.proving) {
      this.releasing = this.last || this.held >= HOLD_BYTES
      return
    }
    const page = this.pages[this.pages.length - 1]
    const { buffer, at, end } = page.reader
    this.releasing = hasEntirety(new Reader(buffer, at, end), page.left)
    if (!this.releasing && this.last)
      this.#fail(
        new DaemonStoreError(
          CODE.RESTARTED,
          "the document was replaced or deleted while it was loaded, and what was handed out is not it any more",
          { operation: "loadAll", docId: this.name },
        ),
      )
  }

  #refused(error) {
    if (error.number === CODE.CHANGED && this.op === LOAD_ALL) {
      this.options.onRestart()
      // What is left here belongs to the document as it was.
      this.pages = []
      this.held = 0
      this.cursor = null
      this.proving = this.handed
      this.releasing = false
      this.#ask()
    } else {
      // What is here stays good, and is handed out before the error: but only if more than that was promised already.
      if (!this.handed) this.pages = []
      this.releasing = true
      this.last = true
      this.error = error
    }
    this.#run(false)
  }
}

/** A reader of its own for a part of what has arrived, without keeping a larger piece of memory. */
function ownReader(reader, start, end) {
  const { buffer } = reader
  if (!reader.isShared && end - start >= buffer.buffer.byteLength * OWN_SHARE) return new Reader(buffer, start, end)
  const copy = Buffer.from(new Uint8Array(buffer.subarray(start, end)).buffer)
  return new Reader(copy, 0, end - start)
}
