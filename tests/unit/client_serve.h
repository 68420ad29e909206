/*
 * client_serve: a fake daemon that answers by itself, for tests that look at the client from its caller's side.
 *
 * Documents are told apart by their names: "full" has no space for writes, "none" does not exist, "moving" changes
 * under its first load, "huge" has a record that is larger than a page. All others have three pages of two records.
 */
#ifndef KYNETA_TESTS_UNIT_CLIENT_SERVE_H
#define KYNETA_TESTS_UNIT_CLIENT_SERVE_H

#include "tests/unit/client_fake.h"

#define SERVE_PAGES	3
#define SERVE_PAGE	2
#define SERVE_HUGE_SIZE ((size_t)5 << 20)

struct served {
	struct fake fake;
	uint64_t next;
	bool moved;
	int counts[16]; /* requests, by operation */
};

static inline bool serve_is(struct span name, const char *text)
{
	return span_equal(name, span_of_string(text));
}

static inline void serve_write(struct served *served, const struct request *request)
{
	struct buffer *out = &served->fake.out;

	if (serve_is(request->document, "full"))
		reply_encode_error(out, request->id, ERROR_DISK_FULL, SPAN_LITERAL("no space"), OUTCOME_NOT_APPLIED,
				   NULL);
	else
		reply_encode_write(out, request->id, (struct position){1, ++served->next}, false);
}

static inline void serve_huge(struct served *served, const struct request *request)
{
	struct record record = {.type = RECORD_ENTRY, .version = SPAN_LITERAL("huge")};
	void *data = calloc(1, SERVE_HUGE_SIZE);
	struct page page;

	record.data = span_of(data, SERVE_HUGE_SIZE);
	page_begin(&served->fake.out, request->id, &page);
	record_pack(&served->fake.out, &record);
	page.count = 1;
	page_end_records(&served->fake.out, &page, (struct position){1, 1}, false, SPAN_NONE);
	free(data);
}

static inline void serve_load(struct served *served, const struct request *request)
{
	struct record record = {.type = RECORD_ENTRY, .version = SPAN_LITERAL("v"), .data = SPAN_LITERAL("data")};
	uint8_t number = request->has_cursor ? request->cursor.data[0] : 0, next = (uint8_t)(number + 1);
	struct buffer *out = &served->fake.out;
	struct page page;

	if (serve_is(request->document, "moving") && number == 1 && !served->moved) {
		served->moved = true;
		reply_encode_error(out, request->id, ERROR_CHANGED, SPAN_LITERAL("changed"), OUTCOME_NONE, NULL);
		return;
	}
	page_begin(out, request->id, &page);
	for (int i = 0; i < SERVE_PAGE && !serve_is(request->document, "none"); i++, page.count++)
		record_pack(out, &record);
	page_end_records(out, &page, (struct position){1, SERVE_PAGES * SERVE_PAGE},
			 next < SERVE_PAGES && !serve_is(request->document, "none"), span_of(&next, 1));
}

static inline void serve_list(struct served *served, const struct request *request)
{
	uint8_t number = request->has_cursor ? request->cursor.data[0] : 0, next = (uint8_t)(number + 1);
	struct page page;

	page_begin(&served->fake.out, request->id, &page);
	for (int i = 0; i < SERVE_PAGE; i++, page.count++)
		page_document(&served->fake.out, SPAN_LITERAL("id"));
	page_end_documents(&served->fake.out, &page, next < SERVE_PAGES, span_of(&next, 1));
}

static inline void serve_stats(struct served *served, const struct request *request)
{
	struct buffer *out = &served->fake.out;
	struct buffer user = BUFFER_EMPTY, users = BUFFER_EMPTY;
	size_t mark = stats_begin(out, request->id, 5);

	stats_uint(out, "requests", 12345);
	stats_text(out, "version", SPAN_LITERAL("fake"));
	stats_text(out, "empty", SPAN_LITERAL(""));
	stats_uint(&user, "connections", 3);
	stats_text(&user, "name", SPAN_LITERAL("anna"));
	stats_map(&users, "1000", 2, buffer_span(&user));
	stats_map(&users, "nobody", 0, SPAN_NONE);
	stats_map(out, "users", 2, buffer_span(&users));
	stats_uint(out, "last", 7);
	stats_end(out, mark);
	buffer_free(&user);
	buffer_free(&users);
}

static inline void serve_one(struct served *served, const struct request *request)
{
	struct buffer *out = &served->fake.out;

	served->counts[request->operation]++;
	switch ((enum operation)request->operation) {
	case OPERATION_HELLO:
		reply_encode_hello(out, request->id, &served->fake.hello);
		break;
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		serve_write(served, request);
		break;
	case OPERATION_LOAD_ALL:
		if (serve_is(request->document, "huge"))
			serve_huge(served, request);
		else
			serve_load(served, request);
		break;
	case OPERATION_CURRENT_META:
		reply_encode_meta(out, request->id, !serve_is(request->document, "none"), SPAN_LITERAL(FAKE_META),
				  (struct position){1, 6});
		break;
	case OPERATION_LIST_DOC_IDS:
		serve_list(served, request);
		break;
	case OPERATION_STATS:
		serve_stats(served, request);
		break;
	case OPERATION_CLOSE:
	case OPERATION_PING:
	case OPERATION_SYNC:
	case OPERATION_RESUME:
		reply_encode_empty(out, request->id);
		break;
	}
}

/* Send as much as the socket takes. */
static inline void serve_flush(struct served *served)
{
	struct buffer *out = &served->fake.out;
	ssize_t took;

	while (out->size > 0) {
		took = send(served->fake.connection, out->data, out->size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (took < 0)
			return;
		memmove(out->data, out->data + took, out->size - (size_t)took);
		out->size -= (size_t)took;
	}
}

/* serve(served) - one turn: whoever connects is accepted, whatever arrived is answered. */
static inline void serve(struct served *served)
{
	struct request request;

	if (served->fake.connection < 0 && !fake_try_accept(&served->fake))
		return;
	if (!fake_read(&served->fake) && served->fake.in.size == served->fake.taken) {
		fake_cut(&served->fake);
		return;
	}
	while (fake_next(&served->fake, &request))
		serve_one(served, &request);
	serve_flush(served);
}

#endif
