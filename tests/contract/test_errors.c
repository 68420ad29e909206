/*
 * Errors: the codes that have no other room. Which test provokes which code: README.md.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

TestSuite(errors, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* ---- what is no request ---- */

/* Sent after hello, or in its place; answered with this code under this id, and then the connection ends or does not.
 */
static void must_answer(bool after_hello, const void *bytes, size_t size, uint64_t id, uint64_t code, bool ends)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	if (after_hello)
		wire_hello(&wire, &stored, &hello);
	else
		wire_connect(&wire, &stored);
	wire_simple(&wire, 50, OPERATION_PING, SPAN_NONE); /* only so that small ids are known */
	if (after_hello) {
		ANSWER(&wire, 50, 0);
	} else {
		wire_close(&wire);
		wire_connect(&wire, &stored);
		wire.operations = calloc(64, sizeof(*wire.operations));
		wire.operations_count = 64;
	}
	wire_bytes(&wire, bytes, size);
	ANSWER(&wire, id, code);
	cr_assert_gt(reply.message.size, 0);
	if (ends) {
		cr_assert(wire_ended(&wire));
	} else {
		wire_simple(&wire, 60, OPERATION_PING, SPAN_NONE);
		ANSWER(&wire, 60, 0);
	}
	wire_close(&wire);
}

#define ANSWERED(after_hello, bytes, id, code, ends) must_answer(after_hello, bytes, sizeof(bytes) - 1, id, code, ends)

Test(errors, malformed_frames_end_the_connection)
{
	stored_start(&stored, NULL);
	ANSWERED(true, "\0\0\0\0", 0, 100, true);			/* length 0 */
	ANSWERED(true, "\0\0\0\x02\xc1\x00", 0, 100, true);		/* no msgpack */
	ANSWERED(true, "\0\0\0\x04\x92\x33\x08\x00", 0, 100, true);	/* a byte left over */
	ANSWERED(true, "\0\0\0\x02\x91\x33", 0, 100, true);		/* too short for a request */
	ANSWERED(true, "\0\0\0\x04\x92\xa1x\x08", 0, 100, true);	/* the id is no uint */
	ANSWERED(true, "\0\0\0\x03\x82\x33\x08", 0, 100, true);		/* no array */
	ANSWERED(true, "\0\0\0\x05\x93\x33\x05\xa1\xff", 0, 100, true); /* no UTF-8 */
	/* Four deep is fine, five is not, the outer one counted. */
	ANSWERED(true, "\0\0\0\x08\x93\x33\x08\x91\x91\x91\x91\xc0", 0, 100, true);
	ANSWERED(false, "\0\0\0\x12\x95\x01\x00\xackyneta-stork\x01\x01", 0, 100, true); /* wrong magic */
	stored_end(&stored);
}

Test(errors, frame_too_large_ends_the_connection)
{
	stored_start(&stored, NULL);
	ANSWERED(true, "\xff\xff\xff\xff", 0, 101, true);
	ANSWERED(true, "\x04\0\0\x01", 0, 101, true);
	ANSWERED(false, "\0\0\x10\x01", 0, 101, true);
	stored_end(&stored);
}

Test(errors, no_common_version_tells_the_daemons)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	hello.lowest = 2;
	hello.highest = 9;
	wire_connect(&wire, &stored);
	wire_send_hello(&wire, &hello);
	ANSWER(&wire, HELLO_ID, 102);
	cr_assert_eq(reply.detail_lowest, 1);
	cr_assert_eq(reply.detail_highest, 1);
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	/* One in common is enough. */
	hello.lowest = 1;
	cr_assert_eq(wire_hello(&wire, &stored, &hello).version, 1);
	wire_close(&wire);
	stored_end(&stored);
}

Test(errors, hello_comes_first)
{
	stored_start(&stored, NULL);
	ANSWERED(false, "\0\0\0\x03\x92\x33\x08", 0x33, 103, true);
	ANSWERED(false, "\0\0\0\x03\x92\x33\x63", 0x33, 103, true);
	stored_end(&stored);
}

Test(errors, unknown_op_lets_the_connection_live)
{
	stored_start(&stored, NULL);
	ANSWERED(true, "\0\0\0\x03\x92\x33\x0c", 0x33, 104, false);
	ANSWERED(true, "\0\0\0\x03\x92\x33\x20", 0x33, 104, false); /* administration */
	ANSWERED(true, "\0\0\0\x0b\x92\x33\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 0x33, 104, false);
	stored_end(&stored);
}

Test(errors, bad_arguments_let_the_connection_live)
{
	stored_start(&stored, NULL);
	ANSWERED(true, "\0\0\0\x03\x92\x33\x05", 0x33, 105, false);	/* missing */
	ANSWERED(true, "\0\0\0\x04\x93\x33\x05\x07", 0x33, 105, false); /* wrong type */
	ANSWERED(true,
		 "\0\0\0\x06\x94\x33\x04\xa1"
		 "d\x02",
		 0x33, 105, false); /* wrong value */
	ANSWERED(true,
		 "\0\0\0\x06\x94\x33\x01\xa1"
		 "d\x90",
		 0x33, 105, false); /* empty append */
	ANSWERED(true,
		 "\0\0\0\x09\x94\x33\x01\xa1"
		 "d\x91\x92\x02\xa0",
		 0x33, 105, false);				 /* unknown record kind */
	ANSWERED(true, "\0\0\0\x03\x92\x00\x08", 0, 105, true);	 /* id 0 speaks of the connection */
	ANSWERED(true, "\0\0\0\x03\x92\x02\x08", 2, 105, false); /* ids go back */
	ANSWERED(true, "\0\0\0\x12\x95\x33\x00\xackyneta-store\x01\x01", 0x33, 105, false); /* second hello */
	ANSWERED(true,
		 "\0\0\0\x07\x94\x33\x02\xa1"
		 "d\xc4\0",
		 0x33, 105, false); /* no cursor of ours */
	stored_end(&stored);
}

/* Missing trailing elements mean nil, those beyond the known ones mean nothing; four arrays deep is not too deep. */
Test(errors, shorter_and_longer_messages_are_understood)
{
	static const char longer[] = "\0\0\0\x06\x95\x33\x08\xc0\xc3\xa0",
			  deep[] = "\0\0\0\x07\x93\x34\x08\x91\x91\x91\xc0", shorter[] = "\0\0\0\x03\x92\x35\x06";
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_hello(&wire, &stored, &hello);
	wire_simple(&wire, 50, OPERATION_PING, SPAN_NONE);
	ANSWER(&wire, 50, 0);
	wire.operations[0x33] = wire.operations[0x34] = OPERATION_PING;
	wire.operations[0x35] = OPERATION_LIST_DOC_IDS;
	wire_bytes(&wire, longer, sizeof(longer) - 1);
	ANSWER(&wire, 0x33, 0);
	wire_bytes(&wire, deep, sizeof(deep) - 1);
	ANSWER(&wire, 0x34, 0);
	wire_bytes(&wire, shorter, sizeof(shorter) - 1);
	ANSWER(&wire, 0x35, 0);
	cr_assert_eq(reply.documents_count, 0);
	wire_close(&wire);
	stored_end(&stored);
}

/* ---- trouble with the database ---- */

/* A document of its own page or more, the rest of the file small. */
static kyneta_store *make_documents(void)
{
	static char data[20000];
	kyneta_store *store = store_open();

	memset(data, 'd', sizeof(data));
	OK(APPEND(store, S("big"), meta(META), entirety("v", span_of(data, sizeof(data)))));
	OK(APPEND(store, S("small"), meta(META)));
	return store;
}

/* Every page but the first few is scribbled over while the daemon is down; it says so, and goes on. */
Test(errors, corrupt_database_is_told)
{
	kyneta_store *store;
	char *data;
	size_t size;
	long long root;

	stored_start(&stored, NULL);
	store = make_documents();
	store_leave(store);
	stored_stop(&stored);
	root = database_number(&stored, "SELECT rootpage FROM sqlite_master WHERE name = 'kyneta_records'");
	data = file_read(stored.database, &size);
	memset(data + (root - 1) * 8192, 0x5a, 8192);
	file_write(stored.database, data, size);
	free(data);
	stored_restart(&stored);
	{
		struct kyneta_store_options options = options_for(&stored);
		int code = store_try(&options);

		/* To see whether there are records is a look at that page. */
		cr_assert_eq(code, 502, "%d %s", code, failure.message);
	}
	stored_end(&stored);
}

/* The same behind the first look: reads and writes fail, and nothing was applied. */
Test(errors, corrupt_document_is_told)
{
	kyneta_store *store;
	unsigned answered = 0;
	char *data, id[32];
	size_t size;
	long long page;

	stored_start(&stored, NULL);
	store = store_open();
	for (int i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "doc/%05d", i);
		send_record(store, span_of_string(id), meta(META), &answered);
	}
	OK(kyneta_store_flush(store, &failure));
	store_leave(store);
	stored_stop(&stored);
	page = database_number(&stored, "SELECT pageno FROM dbstat WHERE name = 'kyneta_records' AND pagetype = 'leaf' "
					"ORDER BY path DESC LIMIT 1 OFFSET 10");
	data = file_read(stored.database, &size);
	memset(data + (page - 1) * 8192, 0x5a, 8192);
	file_write(stored.database, data, size);
	free(data);
	stored_restart(&stored);
	store = store_open();
	/* The page holds a few dozen; its neighbours may be asked for it by an insert, but can be read. */
	for (int i = 1500, found = 0; found < 3; i++) {
		struct kyneta_store_record record = since("v", "x");

		cr_assert_lt(i, 2000, "the damage was not noticed");
		snprintf(id, sizeof(id), "doc/%05d", i);
		if (append(store, span_of_string(id), &record, 1, NULL) == 0)
			continue;
		cr_assert_eq(failure.code, 502, "%d %s", failure.code, failure.message);
		cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
		found += kyneta_store_load_all(store, id, strlen(id), NULL, NULL, NULL, &failure) == 502;
	}
	/* Others are served. */
	OK(APPEND(store, S("doc/00000"), since("v", "y")));
	cr_assert_geq(count_records(store, S("doc/00000")), 2);
	store_leave(store);
	stored_end(&stored);
}

/* A read that fails is a read that fails; the next one is another matter. */
Test(errors, failed_read_is_told)
{
	/* What a disk cannot read back is damaged (so SQLite has it); anything else is between it and us. */
	static const struct {
		int error;
		uint64_t code;
	} cases[] = {{EIO, 502}, {ESTALE, 501}};
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	store_leave(make_documents());
	stored_stop(&stored);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stored_restart(&stored);
		wire_hello(&wire, &stored, &hello);
		atomic_store(&stored.fault->read_error, cases[i].error);
		wire_simple(&wire, 2, OPERATION_LOAD_ALL, S("big"));
		ANSWER(&wire, 2, cases[i].code);
		cr_assert_eq(reply.outcome, OUTCOME_NONE);
		atomic_store(&stored.fault->read_error, 0);
		wire_simple(&wire, 3, OPERATION_LOAD_ALL, S("big"));
		ANSWER(&wire, 3, 0);
		cr_assert_eq(reply.records.count, 2);
		wire_close(&wire);
		stored_stop(&stored);
	}
	stored_end(&stored);
}

/* A full disk, a quota that is used up: the same to whoever writes. */
static void must_be_full(int error)
{
	kyneta_store *store;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	atomic_store(&stored.fault->write_error, error);
	FAILS(500, APPEND(store, S("doc"), since("v", "x")));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	STREAM(store, S("doc"), meta(META));
	atomic_store(&stored.fault->write_error, 0);
	OK(APPEND(store, S("doc"), since("v", "x")));
	store_leave(store);
	stored_end(&stored);
}

Test(errors, full_disk_is_told)
{
	must_be_full(ENOSPC);
}

Test(errors, used_up_quota_counts_as_full_disk)
{
	must_be_full(EDQUOT);
}

/* An existing file is taken in use by the first hello, which needs a log beside it. */
static void must_fail_to_take(int error, uint64_t code)
{
	struct hello hello = hello_plain();
	struct wire wire;

	database_execute(&stored, "CREATE TABLE other (x)");
	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	atomic_store(&stored.fault->open_error, error);
	cr_assert_eq(wire_refused(&stored, &hello), code);
	atomic_store(&stored.fault->open_error, 0);
	wire_hello(&wire, &stored, &hello);
	wire_close(&wire);
	stored_end(&stored);
}

Test(errors, denied_by_the_system_is_told)
{
	must_fail_to_take(EACCES, 401);
}

Test(errors, io_error_is_told)
{
	must_fail_to_take(EMFILE, 501);
}

/* ---- a record that no database can hold ---- */

static unsigned long long available_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kib;
}

/* SQLite holds 1,000,000,000 bytes in a row; a frame may have 1 GiB. The bytes are sent as they are made. */
Test(errors, record_beyond_the_database_is_too_large)
{
	static char zeros[1 << 20];
	const uint32_t data_size = 1000000001;
	struct request request = request_of(2, OPERATION_APPEND, S("doc"));
	struct record records[] = {wire_meta(META), wire_entry("v", SPAN_NONE)};
	struct hello hello = hello_plain();
	struct buffer out = BUFFER_EMPTY;
	struct reply reply;
	struct wire wire;

	if (available_kib() < 3 * 1024 * 1024)
		cr_skip_test("this takes 3 GB of memory");
	stored_start(&stored, "--max-frame-bytes", "1G", "--max-request-bytes-per-connection", "2G",
		     "--max-request-bytes", "2G", NULL);
	wire_hello(&wire, &stored, &hello);
	records[1].data_is_text = false;
	wire_encode(&wire, &out, &request, records, 2);
	/* The message ends in an empty bin and two nils: put a long one in the place of the bin. */
	{
		static const uint8_t end[] = {0xc4, 0x00};
		uint8_t *found = memmem(out.data, out.size, end, sizeof(end)), head[5] = {0xc6};
		size_t before = (size_t)(found - out.data), rest = out.size - before - sizeof(end);

		cr_assert_not_null(found);
		frame_put_length(head + 1, data_size);
		frame_put_length(out.data, (uint32_t)(before + sizeof(head) + data_size + rest - FRAME_HEADER_SIZE));
		wire_bytes(&wire, out.data, before);
		wire_bytes(&wire, head, sizeof(head));
		for (size_t sent = 0; sent < data_size; sent += sizeof(zeros))
			wire_bytes(&wire, zeros, data_size - sent < sizeof(zeros) ? data_size - sent : sizeof(zeros));
		wire_bytes(&wire, found + sizeof(end), rest);
	}
	buffer_free(&out);
	ANSWER(&wire, 2, 205);
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	/* It is wrong by itself: the document goes on. */
	wire_append(&wire, 3, S("doc"), wire_meta(META));
	ANSWER(&wire, 3, 0);
	cr_assert_eq(reply.at.next, 1);
	wire_close(&wire);
	stored_end(&stored);
}
