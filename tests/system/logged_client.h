/*
 * logged_client: a handle of the library whose every call and every answer is written down.
 *
 * What the programs have in common that test_restart.py and soak drive. The log has one line for each thing, in the
 * order in which it happened; an answer has the number of its call. TIME is that of the machine's monotonic clock, in
 * nanoseconds: before a call was queued, when its answer was handed out. A word never holds a blank.
 *
 *     w CALL TIME OPERATION DOCUMENT EXPECT RECORD...   a write: a append, r replace, d delete
 *     a CALL TIME POSITION DUPLICATE                    it was carried out; DUPLICATE is 0 or 1
 *     l CALL TIME DOCUMENT                              load_all
 *     r CALL TIME POSITION RECORD...                    what it gave
 *     c CALL TIME DOCUMENT                              current_meta
 *     m CALL TIME POSITION RECORD                       the metadata; - if there is none
 *     i CALL TIME PREFIX                                list_doc_ids
 *     d CALL TIME DOCUMENT...                           what it gave
 *     s CALL TIME, u CALL TIME                          sync, resume
 *     o CALL TIME                                       it was done
 *     f CALL TIME CODE OUTCOME POSITION MESSAGE / RECORD...
 *                                                       any of them failed: OUTCOME is -1, 0 not applied, 1 unknown;
 *                                                       POSITION where the document stands instead; RECORD... what a
 *                                                       load had handed out before
 *
 * POSITION and EXPECT are GENERATION.NEXT, or -. A record is one word, and all of it follows from the word: mNAME is
 * metadata with NAME as schemaHash, sNAME an entry whose data is text, bNAME one whose data is bytes; the whole word is
 * the entry's version, and its data the word again and again. One that came back otherwise is logged with ! before it.
 */
#ifndef KYNETA_TESTS_SYSTEM_LOGGED_CLIENT_H
#define KYNETA_TESTS_SYSTEM_LOGGED_CLIENT_H

#include <kyneta/store.h>
#include <stdio.h>

#define WORD_SIZE	 32   /* with its NUL */
#define WORD_RECORDS_MAX 8    /* in a write */
#define WORD_DATA_MAX	 8192 /* bytes of an entry */

struct logged_document {
	char name[WORD_SIZE];
	/* Where it stood at the newest answer that can be expected to hold. */
	bool has_position;
	struct kyneta_store_position position;
};

struct logged_client {
	kyneta_store *store;
	FILE *log;
	unsigned long calls, answered;
	unsigned unanswered, unanswered_writes;
	bool has_latched; /* a write failed from outside: nothing of its document is taken before a resume */
};

/* A record to be written. */
struct word {
	char text[WORD_SIZE];
	char meta[256];
	char data[WORD_DATA_MAX];
	struct kyneta_store_record record;
};

/* give_up(format, …) - the program cannot go on: say why on stderr, end with 1. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* word_make(word, format, …) - the record of this word. */
void word_make(struct word *word, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Queue a call; it must be taken. @expect may be NULL. */
void logged_write(struct logged_client *client, struct logged_document *document, char operation, int durability,
		  const struct kyneta_store_position *expect, const struct word *words, size_t count);
void logged_load(struct logged_client *client, struct logged_document *document);
void logged_current_meta(struct logged_client *client, struct logged_document *document);
void logged_list(struct logged_client *client, const char *prefix);
void logged_sync(struct logged_client *client);
void logged_resume(struct logged_client *client);

/* logged_process(client) - kyneta_store_process(), with the log written out before; the handle must live on. */
void logged_process(struct logged_client *client);

/* logged_is_readable(client, timeout_ms) - has something come from the daemon? */
bool logged_is_readable(const struct logged_client *client, int timeout_ms);

/* logged_wait(client) - until everything is answered. */
void logged_wait(struct logged_client *client);

#endif
