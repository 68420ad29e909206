/* config: every option good and bad, by its table. */
#include "tests/unit/config_reading.h"

#include <grp.h>

static bool is_number(const struct option *option)
{
	return option->kind == SIZE || option->kind == COUNT || option->kind == SECONDS || option->kind == MODE;
}

static void print_number(const struct option *option, uint64_t value, char out[64])
{
	snprintf(out, 64, option->kind == MODE ? "%" PRIo64 : "%" PRIu64, value);
}

/* --name=value for every number, least or most of all; the reserve then has no room above the largest log. */
static void read_all(bool most)
{
	char text[64];

	drop_arguments();
	for (size_t i = 0; i < OPTIONS; i++) {
		uint64_t value = most ? options[i].most : options[i].least;

		if (!is_number(&options[i]))
			continue;
		if (strcmp(options[i].name, "reserve-bytes") == 0)
			value = 0;
		print_number(&options[i], value, text);
		add_argument("--%s=%s", options[i].name, text);
	}
	assert_right(read_again());
	for (size_t i = 0; i < OPTIONS; i++)
		if (is_number(&options[i]) && strcmp(options[i].name, "reserve-bytes") != 0)
			cr_assert_eq(number_of(&options[i]), most ? options[i].most : options[i].least, "%s",
				     options[i].name);
}

Test(config, defaults)
{
	assert_right(read_arguments(NULL));
#define X(kind, when, field, name, initial, least, most, reason) cr_assert(EQUAL(config->field, initial), name);
	OPTION_TABLE(X)
#undef X
}

Test(config, defaults_are_within_their_ranges)
{
	assert_right(read_arguments(NULL));
	for (size_t i = 0; i < OPTIONS; i++)
		if (options[i].kind != TEXT)
			cr_assert(number_of(&options[i]) >= options[i].least &&
				  number_of(&options[i]) <= options[i].most);
}

Test(config, every_range_is_open_to_its_ends)
{
	read_all(false);
	read_all(true);
}

static void assert_refused(const struct option *option, const char *value)
{
	char argument[256], name[64], start[128], end[256];

	snprintf(argument, sizeof(argument), "--%s=%s", option->name, value);
	cr_assert_eq(read_arguments(argument, NULL), CONFIG_WRONG, "%s", argument);
	snprintf(start, sizeof(start), "--%s takes ", option->name);
	snprintf(end, sizeof(end), ", got \"%s\"", value);
	cr_assert_eq(strncmp(message, start, strlen(start)), 0, "%s: %s", argument, message);
	cr_assert_str_eq(message + strlen(message) - strlen(end), end);
	cr_assert_null(strchr(message, '\n'));
	/* The same in two arguments. */
	snprintf(name, sizeof(name), "--%s", option->name);
	cr_assert_eq(read_arguments(name, value, NULL), CONFIG_WRONG);
	cr_assert_str_eq(message + strlen(message) - strlen(end), end);
}

Test(config, every_option_refuses_what_it_does_not_take)
{
	static const char *const bad[] = {"",
					  "x",
					  "-1",
					  "+5",
					  " 5",
					  "5 ",
					  "0x10",
					  "5.0",
					  "1T",
					  "1KB",
					  "K",
					  "1 K",
					  "18446744073709551616",
					  "99999999999999999999999999"};
	char text[64];

	for (size_t i = 0; i < OPTIONS; i++) {
		if (options[i].kind == TEXT) {
			assert_refused(&options[i], "");
			continue;
		}
		for (size_t j = 0; j < sizeof(bad) / sizeof(bad[0]); j++)
			assert_refused(&options[i], bad[j]);
		if (!is_number(&options[i]))
			continue;
		print_number(&options[i], options[i].most + 1, text);
		assert_refused(&options[i], text);
		if (options[i].least > 0) {
			print_number(&options[i], options[i].least - 1, text);
			assert_refused(&options[i], text);
		}
		if (options[i].kind != SIZE)
			assert_refused(&options[i], "1K");
	}
}

Test(config, every_option_wants_a_value)
{
	char name[64], start[128];

	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(name, sizeof(name), "--%s", options[i].name);
		snprintf(start, sizeof(start), "--%s takes ", options[i].name);
		cr_assert_eq(read_arguments(name, NULL), CONFIG_WRONG);
		cr_assert_eq(strncmp(message, start, strlen(start)), 0, "%s", message);
		cr_assert_str_eq(message + strlen(message) - 13, ", got nothing");
	}
}

Test(config, sizes_have_suffixes)
{
	assert_right(
	    read_arguments("--wal-bytes", "65536", "--page-bytes", "2k", "--cache-bytes=3M", "--batch-bytes=1G", NULL));
	cr_assert_eq(config->wal_bytes, 65536);
	cr_assert_eq(config->page_bytes, 2048);
	cr_assert_eq(config->cache_bytes, 3 * CONFIG_MIB);
	cr_assert_eq(config->batch_bytes, 1024 * CONFIG_MIB);
	/* 2^64 + 4096 must not become 4096. */
	assert_wrong(read_arguments("--batch-bytes=18014398509481988K", NULL),
		     "--batch-bytes takes a size from 4K to 1G, got \"18014398509481988K\"");
	assert_wrong(read_arguments("--batch-bytes=17179869185G", NULL),
		     "--batch-bytes takes a size from 4K to 1G, got \"17179869185G\"");
}

Test(config, words)
{
	assert_right(read_arguments("--durability=committed", "--log-level=warning", NULL));
	cr_assert_eq(config->durability, 0);
	cr_assert_eq(config->log_level, 4);
	assert_right(read_arguments("--durability=synced", "--log-level=critical", NULL));
	cr_assert_eq(config->durability, 1);
	cr_assert_eq(config->log_level, 2);
	assert_wrong(read_arguments("--durability=sync", NULL), "--durability takes synced or committed, got \"sync\"");
	assert_wrong(read_arguments("--log-level", "loud", NULL),
		     "--log-level takes critical, error, warning, notice, info or debug, got \"loud\"");
}

Test(config, groups_have_names_and_numbers)
{
	assert_right(read_arguments("--socket-group", "mail", NULL));
	cr_assert_eq(config->socket_group, getgrnam("mail")->gr_gid);
	assert_right(read_arguments("--socket-group", "62001", NULL));
	cr_assert_eq(config->socket_group, 62001);
	assert_right(read_arguments("--socket-group=62001", "--socket-group=own", NULL));
	cr_assert_eq(config->socket_group, CONFIG_GROUP_OWN);
}

Test(config, messages_say_what_an_option_takes)
{
	assert_wrong(read_arguments("--batch-requests", "x", NULL),
		     "--batch-requests takes a number from 1 to 65536, got \"x\"");
	assert_wrong(read_arguments("--hello-timeout", "0", NULL),
		     "--hello-timeout takes seconds from 1 to 86400, got \"0\"");
	assert_wrong(read_arguments("--socket-mode", "0888", NULL),
		     "--socket-mode takes an octal mode from 0000 to 0777, got \"0888\"");
	assert_wrong(read_arguments("--socket-group", "no such group", NULL),
		     "--socket-group takes own or a group, got \"no such group\"");
	assert_wrong(read_arguments("--socket-group", "4294967295", NULL),
		     "--socket-group takes own or a group, got \"4294967295\"");
	assert_wrong(read_arguments("--socket", "", NULL), "--socket takes a path, got \"\"");
	assert_wrong(read_arguments("--readers", "1\n2", NULL),
		     "--readers takes a number from 1 to 64, got \"1\\x0a2\"");
	assert_wrong(read_arguments("--config", NULL), "--config takes a file, got nothing");
	assert_wrong(read_arguments("--help=more", NULL), "--help takes no value");
	assert_wrong(read_arguments("--version=2", NULL), "--version takes no value");
}

Test(config, long_values_are_cut)
{
	char value[100000];

	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	cr_assert_eq(read_arguments("--readers", value, NULL), CONFIG_WRONG);
	cr_assert_lt(strlen(message), 300);
	memcpy(value, "--", 2);
	cr_assert_eq(read_arguments(value, NULL), CONFIG_WRONG);
	cr_assert_lt(strlen(message), 300);
}

Test(config, unknown_options_suggest_the_nearest)
{
	assert_wrong(read_arguments("--batch-request-s=5", NULL),
		     "unknown option --batch-request-s; did you mean --batch-requests?");
	assert_wrong(read_arguments("--lgo-level", "3", NULL), "unknown option --lgo-level; did you mean --log-level?");
	assert_wrong(read_arguments("--max", NULL), "unknown option --max; did you mean --max-connections?");
	assert_wrong(read_arguments("--colour", NULL), "unknown option --colour; --help tells them all");
	assert_wrong(read_arguments("-x", NULL), "unknown option -x; --help tells them all");
	assert_wrong(read_arguments("file", NULL), "takes options only, got \"file\"");
	assert_wrong(read_arguments("--readers=1", "--", "--readers=2", NULL),
		     "takes options only, got \"--readers=2\"");
}

Test(config, the_later_wins)
{
	assert_right(read_arguments("--readers=1", "--readers", "3", NULL));
	cr_assert_eq(config->readers, 3);
	/* But what is said must be right all the same. */
	cr_assert_eq(read_arguments("--readers=0", "--readers", "3", NULL), CONFIG_WRONG);
}

Test(config, limits_must_fit_each_other)
{
	assert_wrong(read_arguments("--max-frame-bytes=256M", NULL),
		     "--max-request-bytes-per-connection (128M) must be at least --max-frame-bytes (256M)");
	assert_wrong(read_arguments("--max-request-bytes=100000000", NULL),
		     "--max-request-bytes (100000000) must be at least --max-request-bytes-per-connection (128M)");
	assert_wrong(read_arguments("--page-bytes=8M", NULL),
		     "--max-reply-bytes-per-connection (4M) must be at least --page-bytes (8M)");
	assert_wrong(read_arguments("--max-reply-bytes=2M", NULL),
		     "--max-reply-bytes (2M) must be at least --max-reply-bytes-per-connection (4M)");
	assert_wrong(read_arguments("--max-requests=5", NULL),
		     "--max-requests (5) must be at least --max-requests-per-connection (1024)");
	assert_wrong(read_arguments("--wal-bytes=64M", NULL),
		     "--reserve-bytes (48M) must be 0, or at least --wal-bytes (64M) and 16M");
	assert_right(read_arguments("--wal-bytes=64M", "--reserve-bytes=80M", NULL));
	assert_right(read_arguments("--wal-bytes=64M", "--reserve-bytes=0", NULL));
	assert_right(read_arguments("--max-frame-bytes=128M", NULL));
}
