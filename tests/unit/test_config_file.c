/* config: files and drop-ins, where each value is from, and what the next configuration keeps of the last. */
#include "tests/unit/allocations.h"
#include "tests/unit/config_reading.h"

TestSuite(config_file, .init = make_folder, .fini = remove_folder);
TestSuite(config_drop_ins, .init = make_folders, .fini = remove_folder);

/* @expected follows the file's name. */
static void assert_wrong_file(const char *text, const char *expected)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", path, expected);
	assert_wrong(read_text(text), whole);
}

Test(config_file, keys_in_a_section_or_in_none)
{
	assert_right(read_text("# comment\n\nsocket = /tmp/a b.sock\nreaders=3 ; why\n\n[kyneta-stored]\n"
			       "  ; another\n  wal-bytes = 16M\n\tlog-level: debug\r\n"));
	cr_assert_str_eq(config->socket, "/tmp/a b.sock");
	cr_assert_eq(config->readers, 3);
	cr_assert_eq(config->wal_bytes, 16 * CONFIG_MIB);
	cr_assert_eq(config->log_level, 7);
	assert_right(read_text(""));
	cr_assert_str_eq(config->socket, "/run/kyneta-store/kyneta-store.sock");
	assert_right(read_text("\xef\xbb\xbfreaders = 5"));
	cr_assert_eq(config->readers, 5);
	assert_right(read_text("\xef\xbb\xbf# comment\nreaders = 5"));
	assert_right(read_text("\xef\xbb\xbf[quota]\nrequests = 5"));
	cr_assert_eq(config->setting_count, 1);
}

Test(config_file, the_command_line_wins)
{
	write_text("readers = 3\nmax-stores = 7\n");
	assert_right(read_arguments("--readers=4", "--config", path, NULL));
	cr_assert_eq(config->readers, 4);
	cr_assert_eq(config->max_stores, 7);
}

Test(config_file, every_key_is_checked)
{
	char text[128], start[128];

	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(text, sizeof(text), "[kyneta-stored]\n\n%s = %s\n", options[i].name,
			 options[i].kind == TEXT ? "" : "x");
		snprintf(start, sizeof(start), "%s:3: %s takes ", path, options[i].name);
		cr_assert_eq(read_text(text), CONFIG_WRONG);
		cr_assert_eq(strncmp(message, start, strlen(start)), 0, "%s", message);
	}
}

#define NO_LINE	 "a line is \"key = value\", [section], or a comment after # or ;"
#define SECTIONS "[kyneta-stored], [access], [store NAME], [create], [quota], [quota USER], [quota-store NAME]"
#define MISTAKES "readers\nreaders = 0\n[nowhere]\nreaders = 0\n[store a]\nred = x\n[store"

Test(config_file, mistakes_are_told_with_their_line)
{
	assert_wrong_file("\nreaders = 3\nreaders = 0\n", ":3: readers takes a number from 1 to 64, got \"0\"");
	assert_wrong_file("readrs = 3", ":1: unknown key readrs; did you mean readers?");
	assert_wrong_file("[kyneta-stored]\nzzz = 3", ":2: unknown key zzz; --help tells them all");
	assert_wrong_file("config = other.ini", ":1: unknown key config; --help tells them all");
	assert_wrong_file("readers = 3\nreaders\n", ":2: " NO_LINE);
	assert_wrong_file("[kyneta-stored\n", ":1: " NO_LINE);
	assert_wrong_file("[kyneta-stored] readers = 5\n", ":1: " NO_LINE);
	assert_wrong_file("[kyneta-stored ; no]\n", ":1: " NO_LINE);
	assert_wrong_file("socket = /tmp/a\n  readers = 99\n", ":2: readers takes a number from 1 to 64, got \"99\"");
}

Test(config_file, every_mistake_is_told)
{
	char expected[1024];

	write_text(MISTAKES);
	snprintf(expected, sizeof(expected),
		 "--max-stores takes a number from 1 to 65536, got \"0\"\n"
		 "takes options only, got \"word\"\n"
		 "%s:1: " NO_LINE "\n"
		 "%s:2: readers takes a number from 1 to 64, got \"0\"\n"
		 "%s:3: unknown section [nowhere]; there are " SECTIONS "\n"
		 "%s:6: unknown key red; [store] takes read, write, administer\n"
		 "%s:7: " NO_LINE,
		 path, path, path, path, path);
	assert_wrong(read_arguments("--max-stores=0", "--config", path, "word", NULL), expected);
}

Test(config_file, lines_that_would_be_misread_are_refused)
{
	char text[1024], expected[256];

	/* The longest that is taken, and one more. */
	snprintf(text, sizeof(text), "\nsocket = /%0186d\n", 0);
	cr_assert_eq(strlen(text) - 2, 196);
	assert_right(read_text(text));
	cr_assert_eq(strlen(config->socket), 187);
	snprintf(text, sizeof(text), "\nsocket = /%0400d\nreaders = 2\n", 0);
	assert_wrong_file(text, ":2: a line is text of at most 198 bytes");
	write_bytes("readers = 3\0", 12);
	snprintf(expected, sizeof(expected), "%s:1: a line is text of at most 198 bytes", path);
	assert_wrong(read_arguments("--config", path, NULL), expected);
}

Test(config_file, no_memory)
{
	unsigned long until = 0;

	write_text("socket = /a\n[store a]\nread = root\nwrite = daemon\n");
	assert_right(read_arguments("--config", path, NULL));
	do {
		allocations_until_failure = ++until;
		if (read_again() == CONFIG_WRONG)
			cr_assert_str_eq(message, "out of memory");
		allocations_until_failure = 0;
	} while (config == NULL);
	cr_assert_gt(until, 8);
	cr_assert_eq(config->setting_count, 2);
}

Test(config_file, file_that_cannot_be_read)
{
	char expected[256];

	snprintf(expected, sizeof(expected), "--config takes a file, cannot open %s: No such file or directory", path);
	assert_wrong(read_arguments("--config", path, NULL), expected);
	snprintf(expected, sizeof(expected), "--config takes a file, cannot read %s: Is a directory", folder);
	assert_wrong(read_arguments("--config", folder, NULL), expected);
}

Test(config_file, limits_are_checked_after_the_command_line)
{
	write_text("max-frame-bytes = 256M\n");
	assert_wrong(read_arguments("--config", path, NULL),
		     "--max-request-bytes-per-connection (128M) must be at least --max-frame-bytes (256M)");
	assert_right(read_arguments("--config", path, "--max-request-bytes-per-connection=256M", NULL));
}

/* ---- drop-ins ---- */

Test(config_drop_ins, by_name_the_later_wins)
{
	write_drop_in("20-b.conf", "readers = 20\n");
	write_drop_in("10-a.conf", "readers = 10\nmax-stores = 10\nmax-requests = 2000\n");
	write_drop_in("9.conf", "readers = 9\n");
	write_drop_in("a.conf", "max-stores = 11\n");
	assert_right(read_text("readers = 5\nmax-stores = 5\nmax-requests = 3000\nbatch-requests = 5\n"));
	cr_assert_eq(config->readers, 9);
	cr_assert_eq(config->max_stores, 11);
	cr_assert_eq(config->max_requests, 2000);
	cr_assert_eq(config->batch_requests, 5);
	cr_assert_eq(config->file_count, 5);
	cr_assert_str_eq(config->files[0], path);
	cr_assert_str_eq(strrchr(config->files[1], '/'), "/10-a.conf");
	cr_assert_str_eq(strrchr(config->files[4], '/'), "/a.conf");
}

Test(config_drop_ins, only_what_ends_in_conf_and_is_not_hidden)
{
	write_drop_in("readers.conf~", "readers = 0\n");
	write_drop_in(".readers.conf", "readers = 0\n");
	write_drop_in("conf", "readers = 0\n");
	write_drop_in(".conf", "readers = 0\n");
	write_drop_in("README", "Not for the daemon.\n");
	assert_right(read_text(""));
	cr_assert_eq(config->file_count, 1);
}

Test(config_drop_ins, each_is_a_file_of_its_own)
{
	char expected[512];

	/* A section ends with its file; a mistake is told with the name of the drop-in. */
	write_drop_in("1.conf", "[store a]\nread = bin\n");
	write_drop_in("2.conf", "readers = 7\n");
	assert_right(read_text("[access]\nusers = root\n"));
	cr_assert_eq(config->readers, 7);
	write_drop_in("3.conf", "\nreaders = 0\n");
	write_drop_in("4.conf", "readrs = 1\n");
	snprintf(expected, sizeof(expected),
		 "%s/3.conf:2: readers takes a number from 1 to 64, got \"0\"\n"
		 "%s/4.conf:1: unknown key readrs; did you mean readers?",
		 drop_ins, drop_ins);
	assert_wrong(read_text("[access]\nusers = root\n"), expected);
}

Test(config_drop_ins, what_cannot_be_read_is_told)
{
	char name[256], expected[512];

	snprintf(name, sizeof(name), "%s/1.conf", drop_ins);
	cr_assert_eq(symlink("nowhere", name), 0);
	snprintf(expected, sizeof(expected), "cannot open %s: No such file or directory", name);
	assert_wrong(read_text(""), expected);
	cr_assert_eq(unlink(name), 0);
	cr_assert_eq(mkdir(name, 0700), 0);
	snprintf(expected, sizeof(expected), "cannot read %s: Is a directory", name);
	assert_wrong(read_text(""), expected);
	cr_assert_eq(rmdir(name), 0);
	cr_assert_eq(rmdir(drop_ins), 0);
	write_file(drop_ins, "", 0);
	snprintf(expected, sizeof(expected), "cannot read the folder %s: Not a directory", drop_ins);
	assert_wrong(read_text(""), expected);
}

/* ---- sources ---- */

static const struct config_source *source_of(const char *name)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (strcmp(options[i].name, name) == 0)
			return &config->sources[i];
	cr_assert_fail("no option %s", name);
	return NULL;
}

static void assert_from(const char *name, const char *file, unsigned line)
{
	const struct config_source *source = source_of(name);

	cr_assert_eq(source->origin, CONFIG_FILE);
	cr_assert_str_eq(strrchr(source->file, '/') + 1, file);
	cr_assert_eq(source->line, line, "%s is from line %u", name, source->line);
}

Test(config_drop_ins, every_value_knows_where_it_is_from)
{
	write_drop_in("x.conf", "# and\n[kyneta-stored]\nmax-stores = 8\n\nbatch-requests = 9\n");
	write_text("readers = 1\n\nmax-stores = 7\nreaders = 2\nbatch-requests = 3\n");
	assert_right(read_arguments("--config", path, "--batch-requests=4", NULL));
	assert_from("readers", "ini", 4);
	assert_from("max-stores", "x.conf", 3);
	cr_assert_eq(source_of("batch-requests")->origin, CONFIG_COMMAND_LINE);
	cr_assert_eq(source_of("socket")->origin, CONFIG_DEFAULT);
}

/* ---- sections that are not of options ---- */

static void assert_setting(size_t index, const char *section, const char *name, const char *key, const char *value,
			   unsigned line)
{
	const struct setting *setting = &config->settings[index];

	cr_assert_lt(index, config->setting_count);
	cr_assert_str_eq(setting->section, section);
	cr_assert_str_eq(setting->name, name);
	cr_assert_str_eq(setting->key, key);
	cr_assert_str_eq(setting->value, value);
	cr_assert_eq(setting->line, line);
	cr_assert_not_null(setting->file);
}

Test(config_file, settings_are_kept_with_their_place)
{
	assert_right(read_text("[access]\nusers = root 1000 ; why\ngroups =\n[store  x y ] # and so\n  write=@bin\n"
			       "[kyneta-stored]\nreaders = 5\n[create]\n@bin = a* b?\ndaemon = \xc3\xa4\n[quota]\n"
			       "connections: 5\n[quota 1000]\nconnections = 6\n"));
	cr_assert_eq(config->readers, 5);
	cr_assert_eq(config->setting_count, 7);
	assert_setting(0, "access", "", "users", "root 1000", 2);
	assert_setting(1, "access", "", "groups", "", 3);
	assert_setting(2, "store", "x y", "write", "@bin", 5);
	assert_setting(3, "create", "", "@bin", "a* b?", 9);
	assert_setting(4, "create", "", "daemon", "\xc3\xa4", 10);
	assert_setting(5, "quota", "", "connections", "5", 12);
	assert_setting(6, "quota", "1000", "connections", "6", 14);
	cr_assert_str_eq(config->settings[6].file, path);
}

Test(config_drop_ins, the_later_setting_wins)
{
	write_drop_in("1.conf", "\n[store b]\nread =\n[store a]\nwrite = 26\n");
	assert_right(read_text("[store a]\nread = 24\n[store b]\nread = 25\n[store a]\nread = 23\n"));
	cr_assert_eq(config->setting_count, 3);
	assert_setting(0, "store", "a", "read", "23", 6);
	assert_setting(1, "store", "b", "read", "", 3);
	assert_setting(2, "store", "a", "write", "26", 5);
	cr_assert_str_eq(strrchr(config->settings[1].file, '/'), "/1.conf");
}

Test(config_file, names_of_sections_are_not_cut)
{
	char text[512], name[128];

	/* inih keeps 49 bytes. */
	snprintf(name, sizeof(name), "%0100d", 0);
	snprintf(text, sizeof(text), "[store %s]\nread = 1\n[store %s1]\nread = 2\n", name, name);
	assert_right(read_text(text));
	cr_assert_eq(config->setting_count, 2);
	assert_setting(0, "store", name, "read", "1", 2);
	assert_setting(1, "store", strcat(name, "1"), "read", "2", 4);
}

Test(config_file, names_of_keys_are_not_cut)
{
	char text[512], name[128];

	snprintf(name, sizeof(name), "%0100d", 0);
	snprintf(text, sizeof(text), "[create]\n%s = a\n%s1 = b\n", name, name);
	assert_right(read_text(text));
	cr_assert_eq(config->setting_count, 2);
	assert_setting(1, "create", "", strcat(name, "1"), "b", 3);
}

Test(config_file, sections_must_be_known_and_named_as_they_want)
{
	assert_wrong_file("[store]\nread = x\n", ":1: unknown section [store]; there are " SECTIONS);
	assert_wrong_file("[access x]\n", ":1: unknown section [access x]; there are " SECTIONS);
	assert_wrong_file("[kyneta-stored x]\n", ":1: unknown section [kyneta-stored x]; there are " SECTIONS);
	assert_wrong_file("[Access]\n", ":1: unknown section [Access]; there are " SECTIONS);
	assert_wrong_file("[]\n", ":1: unknown section []; there are " SECTIONS);
	assert_wrong_file("[quota]\nreaders = 5\n",
			  ":2: unknown key readers; [quota] takes connections, requests, request-bytes");
	assert_wrong_file("[create]\n= 5\n", ":2: unknown key ; [create] takes a name");
}

/* ---- the next configuration ---- */

static char changes[1024], kept[1024];

static void append_line(void *context, const char *line)
{
	char *text = context;

	snprintf(text + strlen(text), 1024 - strlen(text), "%s\n", line);
}

/* Reads this file as the configuration that comes after @old; tells what changes and what does not. */
static int follow(struct config *old, const char *text)
{
	struct complaints change = {0}, keep = {0};
	int result;

	config_ref(old);
	assert_right(read_text(text));
	result = config_keep_started(config, old, &change, &keep);
	config_unref(old);
	changes[0] = kept[0] = '\0';
	complaints_tell(&change, append_line, changes);
	complaints_tell(&keep, append_line, kept);
	complaints_free(&change);
	complaints_free(&keep);
	return result;
}

Test(config_file, what_takes_a_restart_stays)
{
	struct config *old;

	assert_right(read_text("socket = /a\nreaders = 3\nlog-level = debug\n"));
	old = config_ref(config);
	cr_assert_eq(follow(old, "\nsocket = /b\nmax-frame-bytes = 4M\nmax-connections = 5\n"), 0);
	/* What is kept must not be the old one's. */
	config_unref(old);
	cr_assert_str_eq(config->socket, "/a");
	assert_from("socket", "ini", 1);
	cr_assert_eq(config->readers, 3);
	assert_from("readers", "ini", 2);
	cr_assert_eq(config->max_frame_bytes, 4 * CONFIG_MIB);
	cr_assert_eq(config->log_level, 6);
	cr_assert_eq(config->max_connections, 5);
	assert_from("max-connections", "ini", 4);
	cr_assert_str_eq(changes, "log-level: info, was debug\n"
				  "max-connections: 5, was 12000\n"
				  "max-frame-bytes: 4M, was 64M; connections that are there keep it\n");
	cr_assert_str_eq(kept, "socket stays /a: /b takes a restart\n"
			       "readers stays 3: 2 takes a restart\n");
}

Test(config_file, what_is_the_same_is_not_told)
{
	assert_right(read_text("socket = /a\nreaders = 3\n"));
	cr_assert_eq(follow(config, "\n\nreaders = 3\nsocket = /a\n"), 0);
	cr_assert_str_eq(changes, "");
	cr_assert_str_eq(kept, "");
}

Test(config_file, whether_settings_changed)
{
	static const char *const others[] = {
	    "",
	    "[quota]\nrequests = 5\n",
	    "[quota]\nrequests = 5\nconnections = 4\n",
	    "[quota 0]\nrequests = 5\nconnections = 3\n",
	    "[quota]\nrequests = 5\nconnections = 3\n[quota-store *]\ndocuments = 3\n",
	    "[quota]\nrequests = 5\nrequest-bytes = 64M\n",
	};
	struct config *old;

	assert_right(read_text("[quota]\nrequests = 5\nconnections = 3\n"));
	old = config_ref(config);
	cr_assert_eq(follow(old, "\n[quota]\nconnections = 3\n[quota]\nrequests = 5\n"), 0);
	cr_assert_str_eq(changes, "");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		cr_assert_eq(follow(old, others[i]), 0);
		cr_assert_str_eq(changes,
				 "who may do what, and how much: changed; connections that are there keep it\n", "%s",
				 others[i]);
	}
	config_unref(old);
}

Test(config_file, no_memory_for_what_stays)
{
	struct config *old;
	int result;

	assert_right(read_text("socket = /a\n"));
	old = config_ref(config);
	for (unsigned long until = 1; until < 100; until++) {
		struct complaints change = {0}, keep = {0};

		assert_right(read_text("socket = /b\n"));
		allocations_until_failure = until;
		result = config_keep_started(config, old, &change, &keep);
		allocations_until_failure = 0;
		complaints_free(&change);
		complaints_free(&keep);
		if (result == 0) {
			cr_assert_gt(until, 2);
			cr_assert_str_eq(config->socket, "/a");
			config_unref(old);
			return;
		}
	}
	cr_assert_fail("never enough");
}

static bool takes_restart(size_t offset)
{
#define X(kind, when, field, name, initial, least, most, reason)                                                       \
	if (offsetof(struct config, field) == offset)                                                                  \
		return strcmp(#when, "RESTART") == 0;
	OPTION_TABLE(X)
#undef X
	cr_assert_fail("no such option");
	return false;
}

/* Else a new value of one might not fit the other's, that stays. */
Test(config, options_that_must_fit_each_other_change_together)
{
#define X(first, second, margin)                                                                                       \
	cr_assert_eq(takes_restart(offsetof(struct config, first)), takes_restart(offsetof(struct config, second)),    \
		     #first " " #second);
	OPTION_RELATION_LIST(X)
#undef X
}
