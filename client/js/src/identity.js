/*
 * identity: the rules of metadata, and what this client knows of the documents it writes.
 *
 * With settle "sent" a write is vouched for before the daemon has seen it. That takes only the part of a document's
 * metadata that never changes while the document lives: its replicaType without the minor, and its syncMode. Of each
 * document that the client reads or writes it keeps that part, as it will be after the writes it has queued, in a cache
 * that is bounded. A document that is not in it is asked for. And what looks wrong by the cache is not refused by it
 * (another process may have changed the document): the daemon decides.
 */
import { CODE, DaemonStoreError } from "./errors.js"

export const CACHE_DOCUMENTS = 8192
export const CACHE_CHARACTERS = 2 * 1024 * 1024

const MODE_KEYS = ["writerModel", "delivery", "durability"]

/** Which key a meta has for its mode; undefined if it has none, or both. */
function modeKeyOf(meta) {
  const has2 = meta.syncMode !== undefined
  const has1 = meta.syncProtocol !== undefined
  return has2 === has1 ? undefined : has2 ? "syncMode" : "syncProtocol"
}

/**
 * A meta's identity: equal texts are compatible. undefined: it is not such as any store takes, and the daemon will say
 * why.
 */
export function identityOf(meta) {
  if (typeof meta !== "object" || meta === null) return undefined
  const type = meta.replicaType
  if (!Array.isArray(type) || type.length !== 3 || typeof type[0] !== "string") return undefined
  if (!Number.isInteger(type[1]) || !Number.isInteger(type[2])) return undefined
  const key = modeKeyOf(meta)
  const mode = key === undefined ? undefined : meta[key]
  if (typeof mode !== "object" || mode === null || typeof meta.schemaHash !== "string") return undefined
  if (!MODE_KEYS.every(name => typeof mode[name] === "string")) return undefined
  return JSON.stringify([key, mode.writerModel, mode.delivery, mode.durability, type[1], type[0]])
}

/** The key by which a meta with this identity goes. */
export function modeKeyOfIdentity(identity) {
  return identity.startsWith('["syncMode"') ? "syncMode" : "syncProtocol"
}

export function metaMissing() {
  return new DaemonStoreError(CODE.META_MISSING, "Store: batch must contain at least one meta record", {
    outcome: "not-applied",
  })
}

/**
 * Will a write be applied to a document that has this identity (null: no metadata)? Returns the identity after it, or
 * undefined if nobody here can vouch for it.
 *
 * @param {string | null} identity
 * @param {(string | undefined)[]} incoming the metas' identities, in order
 * @param {boolean} isDelete
 * @returns {string | null | undefined}
 */
export function identityAfter(identity, incoming, isDelete) {
  if (isDelete) return null
  let after = identity
  for (const each of incoming) {
    if (each === undefined || (after !== null && after !== each)) return undefined
    after = each
  }
  return after === null ? undefined : after
}

/** What is known of one document: an identity, or (pending) that it was asked for. */
export class Known {
  /** @param {string | null | undefined} identity */
  constructor(identity) {
    this.identity = identity
    /** Writes that wait for the answer, in order. @type {any[] | null} */
    this.pending = null
  }
}

/** The last-used documents, bounded in number and in the length of their ids. */
export class KnownDocuments {
  constructor() {
    /** @type {Map<string, Known>} */
    this.map = new Map()
    this.characters = 0
  }

  get(doc) {
    const known = this.map.get(doc)
    // Used again, it is the last to go; while there is plenty of room, nobody goes.
    if (known !== undefined && (this.map.size * 2 > CACHE_DOCUMENTS || this.characters * 2 > CACHE_CHARACTERS)) {
      this.map.delete(doc)
      this.map.set(doc, known)
    }
    return known
  }

  /** Replaces what was known. */
  set(doc, known) {
    if (!this.map.delete(doc)) this.characters += doc.length
    this.map.set(doc, known)
    if (this.map.size <= CACHE_DOCUMENTS && this.characters <= CACHE_CHARACTERS) return
    for (const oldest of this.map.keys()) {
      if (this.map.size <= CACHE_DOCUMENTS && this.characters <= CACHE_CHARACTERS) break
      if (oldest !== doc) this.forget(oldest)
      else break
    }
  }

  forget(doc) {
    if (this.map.delete(doc)) this.characters -= doc.length
  }
}
