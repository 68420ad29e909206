/*
 * queue: the calls without an answer, in the order of the wire.
 *
 * `next` stands where this connection's writing stands: what is before it was handed to the socket and waits for its
 * reply, what is behind it waits for its turn. A lost connection puts `next` back to the front, and that is all that
 * sending again takes, but for this: a write that a draining daemon refused has used up its id. It needs a new one, and
 * so a place behind everything that has one. Calls that must not overtake it go with it: writes and reads of the same
 * document, and what waits for all writes. Calls about other documents keep their ids.
 *
 * A call gets its id when it is queued; ids rise along the queue. It leaves by its reply or by the end of the store.
 *
 * Latches: a write that failed for a reason outside itself must not leave a hole. The daemon fails the later writes to
 * that document on the same connection, until a resume; over connections it is the client that remembers. A resume
 * takes its place among the calls and begins a new epoch; a latch concerns the calls of its own epoch that came after
 * the failed one.
 */
import { CURRENT_META, HELLO_ID, isWrite, LOAD_ALL, waitsForAllWrites } from "./messages.js"
import { writeId } from "./msgpack.js"

/** What a call costs beside its frame, roughly. */
const CALL_OVERHEAD = 256

const TABLE_SIZE = 2048

/** Latched documents that are told apart, and the length of their ids; as many as the daemon does. */
const LATCHES_MAX = 4096
const LATCHED_LENGTH_MAX = 1 << 20

/** @typedef {{ code: number, message: string, id: number, epoch: number }} Latch */

/** One request, from the moment it is queued to its answer. */
export class Call {
  /**
   * @param {number} op
   * @param {string | null} doc null: about no document
   */
  constructor(op, doc) {
    this.op = op
    this.doc = doc
    this.isWrite = isWrite(op)
    this.id = 0
    this.epoch = 0
    /** The frame: a part of an arena, until the call leaves the queue. */
    this.arena = /** @type {any} */ (null)
    this.start = 0
    this.end = 0
    /** Handed to this connection's socket, and not answered. */
    this.onWire = false
    /** Handed to some connection's socket: it may have been carried out. */
    this.touched = false
    /** Refused by a draining daemon: to be sent under a new id. */
    this.again = false
    /** Its promise was resolved before the answer; a failure is reported otherwise. */
    this.settled = false
    /** @type {((reader: import("./msgpack.js").Reader, elements: number) => void) | null} */
    this.answered = null
    /** @type {((error: Error) => void) | null} */
    this.failed = null
    this.group = /** @type {any} */ (null)
    this.previous = /** @type {Call | null} */ (null)
    this.following = /** @type {Call | null} */ (null)
    this.chained = /** @type {Call | null} */ (null)
  }

  get size() {
    return this.end - this.start + CALL_OVERHEAD
  }
}

function isRead(call) {
  return call.op === LOAD_ALL || call.op === CURRENT_META
}

/** Must @call, later in the queue, see what @write does? */
function mustSee(call, write) {
  return waitsForAllWrites(call.op) || ((call.isWrite || isRead(call)) && call.doc === write.doc)
}

export class Queue {
  /** @param {import("./msgpack.js").FrameWriter} writer where the calls' frames are */
  constructor(writer) {
    this.writer = writer
    this.first = /** @type {Call | null} */ (null)
    this.last = /** @type {Call | null} */ (null)
    this.next = /** @type {Call | null} */ (null)
    this.nextId = HELLO_ID + 1
    this.epoch = 0
    this.onWire = 0
    this.count = 0
    this.writes = 0
    this.bytes = 0
    /** The first write that is on the wire. */
    this.oldestWrite = /** @type {Call | null} */ (null)
    /** A write was answered on this connection, and yet is to be sent again. */
    this.postponed = false
    this.table = new Array(TABLE_SIZE).fill(null)
    /** @type {Map<string, {code: number, message: string, id: number, epoch: number}>} */
    this.latches = new Map()
    this.latchedLength = 0 // of their keys
    /** Beyond the bounds documents are not told apart any more. @type {(Latch & { lastEpoch: number }) | null} */
    this.allLatch = null
  }

  /* ---- coming and going ---- */

  takeId() {
    return this.nextId++
  }

  place(call) {
    call.epoch = this.epoch
    this.count++
    this.bytes += call.size
    if (call.isWrite) this.writes++
    this.#append(call)
    if (this.next === null) this.next = call
  }

  #append(call) {
    call.previous = this.last
    call.following = null
    if (this.last === null) this.first = call
    else this.last.following = call
    this.last = call
  }

  #unlink(call) {
    if (call.previous === null) this.first = call.following
    else call.previous.following = call.following
    if (call.following === null) this.last = call.previous
    else call.following.previous = call.previous
    call.previous = null
    call.following = null
  }

  /** Out of the queue, wherever it stands in it. */
  remove(call) {
    if (call.onWire) this.#leaveWire(call)
    if (this.next === call) this.next = call.following
    this.#unlink(call)
    this.count--
    this.bytes -= call.size
    if (call.isWrite) this.writes--
    this.writer.release(call.arena)
    call.arena = null
  }

  /** The call that is on the wire with this id, or null. */
  find(id) {
    let call = this.table[id % TABLE_SIZE]
    while (call !== null && call.id !== id) call = call.chained
    return call
  }

  /** `next` was handed to the socket. */
  sent() {
    const call = /** @type {Call} */ (this.next)
    this.next = call.following
    call.touched = true
    call.onWire = true
    this.onWire++
    const index = call.id % TABLE_SIZE
    call.chained = this.table[index]
    this.table[index] = call
    if (call.isWrite && this.oldestWrite === null) this.oldestWrite = call
  }

  #leaveWire(call) {
    const index = call.id % TABLE_SIZE
    if (this.table[index] === call) {
      this.table[index] = call.chained
    } else {
      let before = this.table[index]
      while (before.chained !== call) before = before.chained
      before.chained = call.chained
    }
    call.chained = null
    call.onWire = false
    this.onWire--
    if (this.oldestWrite === call) {
      let later = call.following
      while (later !== null && later !== this.next && !(later.onWire && later.isWrite)) later = later.following
      this.oldestWrite = later === this.next ? null : later
    }
  }

  /**
   * The daemon remembers failed writes of a session only among its last in-flight-limit ids. So a write is not sent that
   * far ahead of one that is unanswered: its answer could be lost, and then its fate forgotten.
   */
  isTooFarAhead(call, limit) {
    return call.isWrite && this.oldestWrite !== null && call.id - this.oldestWrite.id >= limit
  }

  /* ---- answers that are none ---- */

  /** Its answer was none, and the daemon goes away: to be sent again on the next connection, under its id. */
  postpone(call) {
    this.#leaveWire(call)
    if (call.isWrite) this.postponed = true
  }

  /** The same, but its id is used up, and nothing was done. */
  postponeAgain(call) {
    this.postpone(call)
    call.again = true
    call.touched = false
  }

  /** Is there a write before @call, that @call should see, which was postponed? Then its answer is too old. */
  awaitsWrite(call) {
    if (!this.postponed || call.isWrite) return false
    for (let earlier = this.first; earlier !== null && earlier !== call; earlier = earlier.following)
      if (earlier.isWrite && !earlier.onWire && mustSee(call, earlier)) return true
    return false
  }

  /* ---- connections come and go ---- */

  /** Nothing is on the wire any more: make everything ready to be sent again, in an order that keeps the promises. */
  lost() {
    this.table.fill(null)
    this.onWire = 0
    this.oldestWrite = null
    this.postponed = false
    for (let call = this.first; call !== null; call = call.following) {
      call.onWire = false
      call.chained = null
    }
    this.#moveRefused()
    this.next = this.first
  }

  #moveRefused() {
    const moved = []
    const documents = new Set()
    for (let call = this.first, following; call !== null; call = following) {
      following = call.following
      const follows = waitsForAllWrites(call.op)
        ? documents.size > 0
        : (call.isWrite || isRead(call)) && documents.has(call.doc)
      if (!call.again && !follows) continue
      this.#unlink(call)
      moved.push(call)
      if (call.isWrite) documents.add(call.doc)
    }
    for (const call of moved) {
      call.again = false
      call.touched = false
      call.id = this.takeId()
      writeId(call.arena.bytes, call.start, call.id)
      this.#append(call)
    }
  }

  /* ---- latches ---- */

  /** @call, a write, failed for a reason outside itself. */
  latch(call, code, message) {
    const key = latchKey(call.epoch, call.doc)
    const all = this.allLatch
    // The first failure of an epoch says which calls are behind it.
    if (this.latches.has(key)) return
    if (this.latches.size < LATCHES_MAX && this.latchedLength + key.length <= LATCHED_LENGTH_MAX) {
      this.latches.set(key, { code, message, id: call.id, epoch: call.epoch })
      this.latchedLength += key.length
    } else if (all === null) {
      this.allLatch = { code, message, id: call.id, epoch: call.epoch, lastEpoch: call.epoch }
    } else {
      all.lastEpoch = Math.max(all.lastEpoch, call.epoch)
    }
  }

  get anyLatched() {
    return this.latches.size > 0 || this.allLatch !== null
  }

  /** What latches every document in this epoch, or null. */
  #allLatchIn(epoch) {
    const all = this.allLatch
    return all !== null && epoch >= all.epoch && epoch <= all.lastEpoch ? all : null
  }

  /** The latch that @call, a write, must fail with, or undefined. */
  latchOf(call) {
    if (!this.anyLatched) return undefined
    const all = this.#allLatchIn(call.epoch)
    if (all !== null && call.id > all.id) return all
    const latch = this.latches.get(latchKey(call.epoch, call.doc))
    return latch !== undefined && call.id > latch.id ? latch : undefined
  }

  /** Must a write to the document fail, if it is queued now? */
  isLatched(doc) {
    if (!this.anyLatched) return false
    return this.#allLatchIn(this.epoch) !== null || this.latches.has(latchKey(this.epoch, doc))
  }

  /** A resume is queued. */
  beginEpoch() {
    this.epoch++
  }

  /** A resume was answered: latches of epochs that no call is of any more are over. */
  forgetOldLatches() {
    if (!this.anyLatched) return
    let oldest = this.epoch
    for (let call = this.first; call !== null; call = call.following) oldest = Math.min(oldest, call.epoch)
    for (const [key, latch] of this.latches) {
      if (latch.epoch >= oldest) continue
      this.latches.delete(key)
      this.latchedLength -= key.length
    }
    if (this.allLatch !== null && this.allLatch.lastEpoch < oldest) this.allLatch = null
  }
}

function latchKey(epoch, doc) {
  return `${epoch} ${doc}`
}
