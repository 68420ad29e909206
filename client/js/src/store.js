/*
 * store: the reference's Store interface over a session.
 *
 * Calls take effect in the order in which they are made, awaited or not: each is queued, or waits for room in the queue
 * behind the others, before the function returns. With settle "done" a write's promise is the daemon's answer. With
 * "sent" it is resolved as soon as the write is vouched for (identity.js) and queued; what fails later is told to
 * onError, and by the next flush() or close().
 *
 * A write that was vouched for and then failed for a reason outside itself (a full disk) would leave a hole if the next
 * one were taken: the host believes it stored. So the document's appends are refused from then on, until flush() has
 * told of the failure, or a replace or delete makes it whole again.
 */
import { CODE, DaemonStoreError, isOutside } from "./errors.js"
import {
  identityAfter,
  identityOf,
  Known,
  KnownDocuments,
  metaMissing,
  modeKeyOfIdentity,
} from "./identity.js"
import { APPEND, CURRENT_META, DELETE, LIST_DOC_IDS, LOAD_ALL, REPLACE, writeRecord } from "./messages.js"
import { requireText } from "./msgpack.js"
import { Call } from "./queue.js"
import { Session, unwatchExit, watchExit } from "./session.js"
import { Stream } from "./stream.js"
import { setImmediate } from "node:timers"

const DONE = Promise.resolve()

/** Failures remembered for flush(); of more than that only the number. */
const FAILURES_KEPT = 100

export class DaemonStore {
  #session
  #options
  #known = new KnownDocuments()
  /** Calls that wait for room in the queue. @type {(() => void)[]} */
  #gate = []
  #failures = /** @type {Error[]} */ ([])
  #failureCount = 0
  /** Documents whose appends are refused, and why. @type {Map<string, DaemonStoreError>} */
  #refused = new Map()
  #modeKey = /** @type {string | undefined} */ (undefined)
  #steps = 0
  #restarts = 0
  #closing = /** @type {Promise<void> | null} */ (null)
  #opened = /** @type {{resolve: (value: any) => void, reject: (error: Error) => void} | null} */ (null)

  /** Use createDaemonStore(). */
  constructor(options) {
    this.#options = options
    if (options.layout === 1) this.#modeKey = "syncProtocol"
    if (options.layout === 2 || options.tables.storeMeta !== undefined) this.#modeKey = "syncMode"
    this.#session = new Session(options, {
      state: (state, error) => this.#stateChanged(state, error),
      room: () => this.#admit(),
      lostWrites: error => this.#report(error),
      ended: error => this.#ended(error),
    })
  }

  open() {
    return new Promise((resolve, reject) => {
      this.#opened = { resolve, reject }
      watchExit(this.#session)
      this.#session.open()
    })
  }

  /* ---- the Store interface ---- */

  append(docId, record) {
    return this.#call(() => this.#write(APPEND, docId, [record]))
  }

  replace(docId, records) {
    return this.#call(() => this.#write(REPLACE, docId, records))
  }

  delete(docId) {
    return this.#call(() => this.#write(DELETE, docId, []))
  }

  currentMeta(docId) {
    return this.#call(() => this.#currentMeta(docId))
  }

  loadAll(docId) {
    return this.#stream(LOAD_ALL, docId, "docId")
  }

  listDocIds(prefix = "") {
    return this.#stream(LIST_DOC_IDS, prefix, "prefix")
  }

  close() {
    if (this.#closing !== null) return this.#closing.then(undefined, () => undefined)
    this.#closing = this.#close()
    return this.#closing
  }

  /* ---- beside it ---- */

  /** Resolves when everything is answered; rejects if a write that was settled before has failed. */
  async flush() {
    if (this.#closing !== null) throw new DaemonStoreError(CODE.CLOSED, "the store is closed")
    await this.#enter(() => this.#session.barrier())
    this.#throwFailures()
    if (this.#session.phase === "closed") throw this.#session.endedBy
  }

  status() {
    const { phase, queue, layout, daemon, connects, resent, duplicates } = this.#session
    return {
      state: phase === "ready" || phase === "closed" ? phase : "connecting",
      path: this.#session.path,
      daemon,
      layout,
      queued: queue.count + this.#gate.length,
      queuedWrites: queue.writes,
      queuedBytes: queue.bytes,
      failures: this.#failureCount,
      connects,
      resent,
      duplicates,
      restarts: this.#restarts,
    }
  }

  /* ---- entering the queue ---- */

  #hasRoom() {
    const { queue } = this.#session
    return queue.count === 0 || queue.bytes < this.#options.queueBytes
  }

  #call(place) {
    if (this.#closing !== null || this.#session.phase === "closed") return Promise.reject(this.#closedError())
    try {
      return this.#enter(place)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Place a call now, or, if the queue is full, when everything before it found its place. */
  #enter(place) {
    if (this.#gate.length === 0 && this.#hasRoom()) return place()
    return new Promise((resolve, reject) => {
      this.#gate.push(() => {
        try {
          resolve(place())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #admit() {
    while (this.#gate.length > 0 && this.#hasRoom()) {
      const place = /** @type {() => void} */ (this.#gate.shift())
      place()
    }
  }

  #closedError() {
    const { endedBy } = this.#session
    const ended = endedBy !== null && /** @type {any} */ (endedBy).number !== CODE.CLOSED
    return ended
      ? new DaemonStoreError(CODE.CLOSED, `the store is closed: ${endedBy.message}`, { cause: endedBy })
      : new DaemonStoreError(CODE.CLOSED, "the store is closed")
  }

  /* ---- writes ---- */

  #write(op, docId, records) {
    const session = this.#session
    if (session.phase === "closed") throw this.#closedError()
    requireText(docId, "docId")
    if (!Array.isArray(records)) throw new DaemonStoreError(CODE.MISUSE, "records must be an array")
    const metas = []
    for (const record of records) if (record?.kind === "meta") metas.push(record.meta)
    if (op === REPLACE && metas.length === 0) throw metaMissing()
    const early = this.#options.settle === "sent"
    const refused = early && op === APPEND && this.#refused.size > 0 ? this.#refused.get(docId) : undefined
    if (refused !== undefined) throw this.#refusalOf(refused)

    // Who makes this call was told of the failure before it: what is lost is theirs to mend.
    if (session.queue.isLatched(docId)) session.resume()
    if (op !== APPEND) this.#refused.delete(docId)
    return early ? this.#writeEarly(op, docId, records, metas) : this.#writeWaiting(this.#encode(op, docId, records))
  }

  #refusalOf(error) {
    return new DaemonStoreError(error.number, `an earlier write to the document failed: ${error.message}`, {
      outcome: "not-applied",
      operation: "append",
      docId: error.docId,
      cause: error,
    })
  }

  /** The frame of a write, in the writer; not queued yet. */
  #encode(op, docId, records) {
    const session = this.#session
    const { durability } = this.#options
    const call = new Call(op, docId)
    const elements = (op === DELETE ? 3 : 4) + (durability === undefined ? 0 : 1)
    session.begin(call, elements)
    try {
      const { writer } = session
      writer.text(docId)
      if (op !== DELETE) {
        writer.array(records.length)
        for (const record of records) writeRecord(writer, record)
      }
      if (durability !== undefined) writer.uint(durability)
      if (writer.at - writer.start - 4 > session.frameLimit)
        throw new DaemonStoreError(
          CODE.FRAME_TOO_LARGE,
          `the request has ${writer.at - writer.start - 4} bytes, and the daemon takes ${session.frameLimit}`,
          { outcome: "not-applied", docId },
        )
    } catch (error) {
      session.writer.cancel()
      throw error
    }
    return call
  }

  #encodeCurrentMeta(docId) {
    const call = new Call(CURRENT_META, docId)
    this.#session.begin(call, 3)
    this.#session.writer.text(docId)
    return call
  }

  #writeWaiting(call) {
    return new Promise((resolve, reject) => {
      call.answered = () => resolve(undefined)
      call.failed = reject
      this.#session.submit(call)
    })
  }

  /** settle "sent" */
  #writeEarly(op, docId, records, metas) {
    const incoming = metas.map(identityOf)
    let known = this.#known.get(docId)
    if (op === DELETE || (known !== undefined && known.pending === null)) {
      const after = this.#identityAfter(known?.identity ?? null, incoming, op)
      const call = this.#encode(op, docId, records)
      if (after === undefined) return this.#writeDoubtful(call)
      call.settled = true
      call.failed = error => this.#settledFailed(call, error)
      if (known === undefined || known.identity !== after) this.#known.set(docId, new Known(after))
      this.#session.submit(call)
      return DONE
    }
    if (known === undefined) known = this.#ask(docId)
    return this.#writePending(known, this.#encode(op, docId, records), incoming)
  }

  /** What a write makes of the document, if it can be vouched for. A new store's layout follows its first meta. */
  #identityAfter(identity, incoming, op) {
    const after = identityAfter(identity, incoming, op === DELETE)
    if (after === undefined || after === null || incoming.length === 0) return after
    const key = modeKeyOfIdentity(after)
    this.#modeKey ??= key
    return key === this.#modeKey ? after : undefined
  }

  /** By what is known here the daemon will refuse it: it shall say so, and why. */
  #writeDoubtful(call) {
    return new Promise((resolve, reject) => {
      call.answered = () => {
        // Somebody else has changed the document.
        this.#known.forget(call.doc)
        resolve(undefined)
      }
      call.failed = error => {
        this.#forgetUnless(call.doc, error)
        reject(error)
      }
      this.#session.submit(call)
    })
  }

  /** A refusal for reasons of the document confirms what is known; anything else says nothing. */
  #forgetUnless(docId, error) {
    if (error.number < 200 || error.number > 299) this.#known.forget(docId)
  }

  /** Settled by what the daemon answers about the document, or by its own answer if that does not vouch for it. */
  #writePending(known, call, incoming) {
    return new Promise((resolve, reject) => {
      known.pending.push({ call, incoming, resolve })
      call.answered = () => resolve(undefined)
      call.failed = error => {
        if (call.settled) this.#settledFailed(call, error)
        else reject(error)
      }
      this.#session.submit(call)
    })
  }

  /** Ask for the document's metadata, in front of the write that wants to know. */
  #ask(docId) {
    const known = new Known(undefined)
    known.pending = []
    this.#known.set(docId, known)
    const call = this.#encodeCurrentMeta(docId)
    call.answered = (reader, elements) => {
      const json = elements > 2 && !reader.isNil() ? reader.text() : null
      this.#learn(docId, known, identityOfJson(json))
    }
    call.failed = () => this.#learn(docId, known, undefined)
    this.#session.submit(call)
    return known
  }

  /** The answer for everything that waits for it, in order. */
  #learn(docId, known, identity) {
    for (const { call, incoming, resolve } of known.pending) {
      if (identity === undefined) break
      const after = this.#identityAfter(identity, incoming, call.op)
      // Its own answer tells, and leaves the identity as it is.
      if (after === undefined) continue
      identity = after
      if (call.arena === null) continue // answered already
      call.settled = true
      resolve(undefined)
    }
    known.pending = null
    if (this.#known.get(docId) !== known) return
    if (identity === undefined) this.#known.forget(docId)
    else known.identity = identity
  }

  #settledFailed(call, error) {
    this.#known.forget(call.doc)
    if (isOutside(error.number)) this.#refused.set(call.doc, error)
    this.#report(error)
  }

  /* ---- failures of writes that were settled before ---- */

  #report(error) {
    this.#failureCount++
    if (this.#failures.length < FAILURES_KEPT) this.#failures.push(error)
    const { onError } = this.#options
    // What the handler throws is its own, and must not end up in here.
    queueMicrotask(() => onError(error))
  }

  #throwFailures() {
    const count = this.#failureCount
    const failures = this.#failures
    this.#failureCount = 0
    this.#failures = []
    this.#refused.clear()
    if (count === 0) return
    if (count === 1) throw failures[0]
    const first = /** @type {DaemonStoreError} */ (failures[0])
    const error = new DaemonStoreError(first.number, `${count} writes have failed; the first: ${first.message}`, {
      outcome: first.outcome,
      docId: first.docId,
      cause: first,
    })
    throw Object.assign(error, { errors: failures })
  }

  /* ---- reads ---- */

  #currentMeta(docId) {
    const session = this.#session
    if (session.phase === "closed") throw this.#closedError()
    requireText(docId, "docId")
    const known = this.#noteRead(docId)
    const call = this.#encodeCurrentMeta(docId)
    return new Promise((resolve, reject) => {
      call.answered = (reader, elements) => {
        const json = elements > 2 && !reader.isNil() ? reader.text() : null
        let meta = null
        try {
          if (json !== null) meta = JSON.parse(json)
        } catch (error) {
          reject(error)
          return
        }
        if (known !== undefined) this.#noteAnswer(docId, known, meta)
        resolve(meta)
      }
      call.failed = reject
      session.submit(call)
    })
  }

  /** The entry that the answer may fill in, unless a write comes between. */
  #noteRead(docId) {
    if (this.#options.settle !== "sent") return undefined
    const known = this.#known.get(docId)
    return known ?? null
  }

  #noteAnswer(docId, known, meta) {
    const now = this.#known.get(docId) ?? null
    if (now !== known || now?.pending) return
    const identity = meta === null ? null : identityOf(meta)
    if (identity === undefined) this.#known.forget(docId)
    else if (now === null || now.identity !== identity) this.#known.set(docId, new Known(identity))
  }

  #stream(op, name, what) {
    const stream = new Stream(this.#session, op, name, {
      limit: this.#options.pageBytes,
      onStep: () => {
        this.#steps++
      },
      onRestart: () => {
        this.#restarts++
      },
    })
    const begun = this.#call(() => {
      if (this.#session.phase === "closed") throw this.#closedError()
      requireText(name, what)
      stream.begin()
      return DONE
    })
    // Whoever reads is told.
    if (begun !== DONE) begun.catch(error => stream.refuse(error))
    return stream
  }

  /* ---- the end ---- */

  async #close() {
    const session = this.#session
    await this.#enter(() => session.barrier())
    // Streams that are being read go on as long as somebody reads them.
    for (let steps = -1; session.phase !== "closed" && (steps !== this.#steps || session.queue.count > 0); ) {
      steps = this.#steps
      await session.barrier()
      await new Promise(resolve => setImmediate(resolve))
    }
    await session.close()
    unwatchExit(session)
    this.#throwFailures()
    const { endedBy } = session
    if (endedBy !== null && /** @type {any} */ (endedBy).number !== CODE.CLOSED) throw endedBy
  }

  #stateChanged(state, error) {
    if (state === "ready" && this.#session.layout !== 0)
      this.#modeKey = this.#session.layout === 1 ? "syncProtocol" : "syncMode"
    if (state === "ready") this.#opened?.resolve(this)
    if (state === "ready") this.#opened = null
    const { onState } = this.#options
    queueMicrotask(() => onState(state, error))
  }

  #ended(error) {
    unwatchExit(this.#session)
    this.#opened?.reject(error)
    this.#opened = null
    while (this.#gate.length > 0) /** @type {() => void} */ (this.#gate.shift())()
  }
}

function identityOfJson(json) {
  if (json === null) return null
  try {
    return identityOf(JSON.parse(json))
  } catch {
    return undefined
  }
}
