/*
 * config: every option of the daemon, from one table, and what stands beside the options in its files.
 *
 * OPTION_TABLE gives for each option its name (the same on the command line, with two dashes, and in the INI file), its
 * kind, when a new value takes effect, field, default, range and reason. Parsing, --help, the error for a bad value,
 * --check-config, the example file and the table in the README come from it. Values are read in this order, the later
 * wins: default; the file (/etc/kyneta-stored.conf if it is there, or --config FILE, which must be); the files of
 * FILE.d that end in .conf, by name; the command line. Each value remembers which of them it is from. A file's keys
 * stand in a section [kyneta-stored] or in none; other sections are those of SECTION_TABLE (setting.h).
 *
 * A configuration does not change once it is read. Reading everything again makes another one; who began with the old
 * one holds a reference and keeps it. Before threads start, and on the loop thread.
 */
#ifndef KYNETA_DAEMON_CONFIG_H
#define KYNETA_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/setting.h"

#define CONFIG_MIB (UINT64_C(1) << 20)

/* No group can have this number. */
#define CONFIG_GROUP_OWN UINT32_MAX

/*
 * X(kind, when, field, option name, default, least, most, what it is and why this default)
 *
 * when a value that was read again takes effect: RELOAD (at once) · CONNECTION (for connections accepted from then on;
 * the others keep theirs) · RESTART (not before the daemon starts anew)
 * kinds: TEXT (least, most unused) · SIZE (bytes; K, M, G suffixes of 1024) · COUNT · SECONDS · MODE (octal) ·
 * GROUP (its number, of a name or number; or "own") · DURABILITY ("synced" or "committed") · LEVEL
 * (log levels by name)
 */
#define OPTION_TABLE(X)                                                                                                \
	X(TEXT, RESTART, socket, "socket", "/run/kyneta-store/kyneta-store.sock", 0, 0,                                \
	  "Unix socket to listen on; at most 107 bytes, which is all that the kernel takes")                           \
	X(MODE, RESTART, socket_mode, "socket-mode", 0660, 0, 0777,                                                    \
	  "permissions of the socket: its owner and group may connect")                                                \
	X(GROUP, RESTART, socket_group, "socket-group", CONFIG_GROUP_OWN, 0, CONFIG_GROUP_OWN,                         \
	  "group of the socket, by name or number, whose members socket-mode lets in; own is that of the daemon")      \
	X(TEXT, RESTART, database, "database", "/var/lib/kyneta-store/exchange.db", 0, 0,                              \
	  "SQLite database file; made if it does not exist")                                                           \
	X(DURABILITY, RELOAD, durability, "durability", 1, 0, 1,                                                       \
	  "of writes that do not ask: synced survives power loss, committed survives the death of the daemon")         \
	X(LEVEL, RELOAD, log_level, "log-level", 6, 0, 7, "least important message that is logged")                    \
	X(COUNT, RELOAD, max_connections, "max-connections", 12000, 1, 1000000,                                        \
	  "connections at once; ten thousand idle hosts and some to spare, each costs a descriptor and about 1 KiB")   \
	X(COUNT, CONNECTION, max_requests_per_connection, "max-requests-per-connection", 1024, 1, 65536,               \
	  "requests in flight on one connection; hosts were seen with 199, beyond it the socket is not read")          \
	X(COUNT, RELOAD, max_requests, "max-requests", 65536, 1, 10000000,                                             \
	  "requests in flight in all: 64 connections at their limit")                                                  \
	X(SIZE, CONNECTION, max_frame_bytes, "max-frame-bytes", 64 * CONFIG_MIB, 4096, 1024 * CONFIG_MIB,              \
	  "largest request; the largest record seen is 8 MB, a replace holds several")                                 \
	X(SIZE, CONNECTION, max_request_bytes_per_connection, "max-request-bytes-per-connection", 128 * CONFIG_MIB,    \
	  4096, 1024 * 1024 * CONFIG_MIB, "bytes of unanswered requests of one connection: two of the largest frames") \
	X(SIZE, RELOAD, max_request_bytes, "max-request-bytes", 512 * CONFIG_MIB, 4096, 1024 * 1024 * CONFIG_MIB,      \
	  "bytes of unanswered requests in all; what the daemon may spend on input")                                   \
	X(SIZE, CONNECTION, max_reply_bytes_per_connection, "max-reply-bytes-per-connection", 4 * CONFIG_MIB, 4096,    \
	  1024 * 1024 * CONFIG_MIB,                                                                                    \
	  "bytes of replies a peer has not taken yet; beyond it nothing more is taken: a few pages ahead suffice")     \
	X(SIZE, RELOAD, max_reply_bytes, "max-reply-bytes", 256 * CONFIG_MIB, 4096, 1024 * 1024 * CONFIG_MIB,          \
	  "bytes of replies not taken yet in all; what the daemon may spend on output")                                \
	X(SIZE, CONNECTION, page_bytes, "page-bytes", 1 * CONFIG_MIB, 1024, 64 * CONFIG_MIB,                           \
	  "largest page of load_all and list_doc_ids: large enough to cost nothing per page, small enough that "       \
	  "nobody waits for it")                                                                                       \
	X(COUNT, RELOAD, batch_requests, "batch-requests", 2048, 1, 65536,                                             \
	  "writes in one commit; beyond 512 a commit gains little, and everybody waits for the whole batch")           \
	X(SIZE, RELOAD, batch_bytes, "batch-bytes", 8 * CONFIG_MIB, 4096, 1024 * CONFIG_MIB,                           \
	  "bytes in one commit (a larger request goes alone): bounds what one flood adds to everybody's latency")      \
	X(SIZE, RESTART, wal_bytes, "wal-bytes", 32 * CONFIG_MIB, 65536, 1024 * 1024 * CONFIG_MIB,                     \
	  "checkpoint when the write-ahead log is larger: 4,000 pages, where fewer page writes and short stalls meet") \
	X(SIZE, RESTART, cache_bytes, "cache-bytes", 64 * CONFIG_MIB, 65536, 1024 * 1024 * CONFIG_MIB,                 \
	  "the writer's page cache")                                                                                   \
	X(SIZE, RESTART, reader_cache_bytes, "reader-cache-bytes", 2 * CONFIG_MIB, 65536, 1024 * 1024 * CONFIG_MIB,    \
	  "page cache of each reader: thousands of hot documents; the kernel's cache stands behind it")                \
	X(COUNT, RESTART, readers, "readers", 2, 1, 64, "reader threads; pages are short, so few are enough")          \
	X(SIZE, RELOAD, document_cache_bytes, "document-cache-bytes", 32 * CONFIG_MIB, 65536,                          \
	  1024 * 1024 * CONFIG_MIB, "identities of hot documents kept by the writer; about 500 bytes each")            \
	X(COUNT, RELOAD, max_stores, "max-stores", 256, 1, 65536,                                                      \
	  "stores (sets of tables) in use at once; each keeps prepared statements")                                    \
	X(SIZE, RESTART, reserve_bytes, "reserve-bytes", 48 * CONFIG_MIB, 0, 1024 * 1024 * CONFIG_MIB,                 \
	  "disk space kept aside so that reads and deletes go on when the disk is full: wal-bytes and 16 MiB; 0 "      \
	  "keeps none")                                                                                                \
	X(SECONDS, CONNECTION, hello_timeout, "hello-timeout", 10, 1, 86400,                                           \
	  "a peer that has not said hello by then is closed")                                                          \
	X(SECONDS, CONNECTION, frame_timeout, "frame-timeout", 30, 1, 86400,                                           \
	  "a frame that has begun must be whole by then: longer is a peer that dribbles")                              \
	X(SECONDS, CONNECTION, reply_timeout, "reply-timeout", 60, 1, 86400,                                           \
	  "a peer that goes on asking but has taken no byte of its replies for so long is closed")                     \
	X(SECONDS, RELOAD, drain_timeout, "drain-timeout", 30, 1, 86400,                                               \
	  "what was accepted before SIGTERM must be finished by then")                                                 \
	X(SECONDS, CONNECTION, claim_timeout, "claim-timeout", 30, 1, 86400,                                           \
	  "how long exclusive access is kept for a session that lost its connection")                                  \
	X(SECONDS, RELOAD, session_timeout, "session-timeout", 604800, 60, 315360000,                                  \
	  "a session is forgotten so long after its last use: seven days outlive a long weekend")

/*
 * X(field, field, bytes): the first option may not be larger than the second less so many bytes, whatever their ranges
 * allow. A reserve of 0 is none, and excepted.
 */
#define OPTION_RELATION_LIST(X)                                                                                        \
	X(max_requests_per_connection, max_requests, 0)                                                                \
	X(max_frame_bytes, max_request_bytes_per_connection, 0)                                                        \
	X(max_request_bytes_per_connection, max_request_bytes, 0)                                                      \
	X(page_bytes, max_reply_bytes_per_connection, 0)                                                               \
	X(max_reply_bytes_per_connection, max_reply_bytes, 0)                                                          \
	X(wal_bytes, reserve_bytes, 16 * CONFIG_MIB)

/* X(constant, status, meaning): how the daemon ends, as --help tells it. */
#define EXIT_LIST(X)                                                                                                   \
	X(OK, 0, "ended as asked, everything accepted was finished")                                                   \
	X(START, 1,                                                                                                    \
	  "could not start, and trying again does not help: the database was refused, a folder is missing, there is "  \
	  "no permission; one line says what")                                                                         \
	X(USAGE, 2, "bad options or a bad configuration; a line for each mistake")                                     \
	X(STORAGE, 3,                                                                                                  \
	  "storage failed while running (a write or fsync failed); recovery at the next start decides what is there")  \
	X(FORCED, 4,                                                                                                   \
	  "ended before everything accepted was finished: a second signal, or drain-timeout passed; still consistent") \
	X(LATER, 5,                                                                                                    \
	  "could not start now, but perhaps later: the disk is full or fails, memory, descriptors or threads ran "     \
	  "out (there was no memory for one more descriptor while running, too); one line says what")

enum exit_code {
#define X(constant, status, meaning) EXIT_CODE_##constant = (status),
	EXIT_LIST(X)
#undef X
};

enum {
	OPTION_COUNT = 0
#define X(kind, when, field, name, initial, least, most, reason) +1
	OPTION_TABLE(X)
#undef X
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_COMMAND_LINE };

/* Where a value is from. */
struct config_source {
	enum config_origin origin;
	const char *file; /* of CONFIG_FILE: this line in it */
	unsigned line;
};

struct config {
#define CONFIG_TYPE_TEXT					 const char *
#define CONFIG_TYPE_SIZE					 uint64_t
#define CONFIG_TYPE_COUNT					 uint64_t
#define CONFIG_TYPE_SECONDS					 uint64_t
#define CONFIG_TYPE_GROUP					 uint64_t
#define CONFIG_TYPE_MODE					 uint64_t
#define CONFIG_TYPE_DURABILITY					 uint64_t
#define CONFIG_TYPE_LEVEL					 uint64_t
#define X(kind, when, field, name, initial, least, most, reason) CONFIG_TYPE_##kind field;
	OPTION_TABLE(X)
#undef X
	struct config_source sources[OPTION_COUNT]; /* in the table's order */

	/* Lines of other sections, in the order of files and lines; of several for one key only the last is here. */
	struct setting *settings;
	size_t setting_count;
	struct permission *permission; /* what they say about who may do what, */
	struct quota *quota;	       /*   and about how much */

	const char **files; /* that were read, in this order */
	size_t file_count;

	struct config_text *texts; /* every string that came from a file */
	unsigned references;
};

enum config_result {
	CONFIG_RUN,   /* go on with *config */
	CONFIG_DONE,  /* --help, --check-config or the like was answered on stdout: EXIT_CODE_OK */
	CONFIG_WRONG, /* there are complaints: EXIT_CODE_USAGE */
};

/*
 * config_read(config, argc, argv, complaints) - read everything. *config has one reference, the caller's, and is set
 * only with CONFIG_RUN; it points into @argv, which may be permuted, as getopt_long(3) does. Each of @complaints names
 * the option, or the file and its line, and says what is taken. Reading again with the same @argv is fine.
 */
enum config_result config_read(struct config **config, int argc, char **argv, struct complaints *complaints);

/*
 * config_keep_started(config, old, changes, kept) - before @config, just read, takes the place of @old: options that
 * take a restart get their old values. What differs is told: in @changes what does change, in @kept what does not.
 * 0, or -1 without memory.
 */
int config_keep_started(struct config *config, const struct config *old, struct complaints *changes,
			struct complaints *kept);

/* config_new() - the defaults, with one reference; NULL without memory. */
struct config *config_new(void);

/* config_ref(config) - one more reference; returns @config. config_unref(config) - one less; the last one frees. */
struct config *config_ref(struct config *config);
void config_unref(struct config *config);

#endif
