/*
 * setting: what a configuration file says beside the options, and complaints about what it says.
 *
 * Options are single values with a row in OPTION_TABLE (config.h). Everything else, who may do what and how much,
 * stands in sections of its own: SECTION_TABLE names them and their keys. config checks these names and keeps each line
 * as a struct setting; what a value means is for those to say who use it.
 */
#ifndef KYNETA_DAEMON_SETTING_H
#define KYNETA_DAEMON_SETTING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * X(section, naming, name in words, example, meaning): naming is NONE ("[access]"), REQUIRED ("[store NAME]") or
 * OPTIONAL ("[quota]" and "[quota USER]").
 */
#define SECTION_TABLE(X)                                                                                               \
	X("access", NONE, "", "[access]", "who may connect, beside root and the daemon's own user")                    \
	X("store", REQUIRED, "NAME", "[store kyneta_doc_meta]",                                                        \
	  "who may do what with the store whose table of metadata is NAME, or fits NAME as a pattern; the closest "    \
	  "section decides, a store without any is open to all who may connect")                                       \
	X("create", NONE, "", "[create]",                                                                              \
	  "who may make which stores, if they may write them; without a line: everybody")                              \
	X("quota", OPTIONAL, "USER", "[quota]",                                                                        \
	  "how much each user may have at once, or unlimited; [quota USER]: one user, by name or number")              \
	X("quota-store", REQUIRED, "NAME", "[quota-store kyneta_doc_meta]",                                            \
	  "how much the store whose table of metadata is NAME, or fits NAME as a pattern, may hold, or unlimited")

/* X(section, key, example, meaning). A key "" stands for any. */
#define SETTING_TABLE(X)                                                                                               \
	X("access", "users", "users = www-data 1000", "users by name or number")                                       \
	X("access", "groups", "groups = users", "groups by name or number; a supplementary group counts")              \
	X("store", "read", "read = backup @users", "users, and groups after @, that may read")                         \
	X("store", "write", "write = www-data", "that may read and write")                                             \
	X("store", "administer", "administer = @adm", "that may do everything, exclusive access too")                  \
	X("create", "", "www-data = notes_* drafts", "a user, or a group after @, and patterns of names of stores")    \
	X("quota", "connections", "connections = 100", "connections at once")                                          \
	X("quota", "requests", "requests = 4096", "requests in flight on all its connections")                         \
	X("quota", "request-bytes", "request-bytes = 64M", "bytes of unanswered requests on all its connections")      \
	X("quota-store", "stored-bytes", "stored-bytes = 10G", "bytes of all its records and metadata, ids included")  \
	X("quota-store", "documents", "documents = 100000", "documents that have metadata")

/* A line "key = value". Owned by the configuration that it is in. */
struct setting {
	const char *section; /* its kind: "store" of "[store notes]" */
	const char *name;    /* "notes"; "" if there is none */
	const char *key, *value;
	const char *file;
	unsigned line;
};

/* Lines, each about one mistake, in the order in which they were found. Zeroed is empty. */
struct complaints {
	struct complaint *first, **last;
	bool no_memory; /* at least one could not be kept */
};

struct complaint {
	struct complaint *next;
	char text[]; /* no newline at its end; may quote anything: to be escaped when it is shown */
};

/* complaints_add(complaints, format, …) - one more; cut after about 1,000 bytes. */
void complaints_add(struct complaints *complaints, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* complaints_add_at(complaints, file, line, format, …) - the same, behind "FILE:LINE: ". */
void complaints_add_at(struct complaints *complaints, const char *file, unsigned line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static inline bool complaints_any(const struct complaints *complaints)
{
	return complaints->first != NULL || complaints->no_memory;
}

/* complaints_tell(complaints, tell, context) - each in turn, escaped as by log_escape. */
void complaints_tell(const struct complaints *complaints, void (*tell)(void *context, const char *line), void *context);

/* complaints_free(complaints) - empty again. */
void complaints_free(struct complaints *complaints);

#endif
