#include "daemon/notice.h"

#include "daemon/stats.h"

static const struct {
	enum log_level level;
	const char *text;
	_Atomic uint64_t *counter;
} LIMITS[] = {
#define X(name, level, text) [NOTICE_limit_##name] = {LOG_##level, text, &stats.limit_##name},
    LIMIT_LIST(X)
#undef X
};

static const char *const OTHERS[] = {
    [NOTICE_HELLO - NOTICE_LIMITS] = "hellos were accepted",
    [NOTICE_HELLO_REFUSED - NOTICE_LIMITS] = "hellos were refused",
    [NOTICE_MALFORMED - NOTICE_LIMITS] = "peers sent what is no frame, and were closed",
    [NOTICE_CUT_FRAME - NOTICE_LIMITS] = "peers went away in the middle of a frame",
    [NOTICE_TAKEOVER - NOTICE_LIMITS] = "sessions were taken over",
    [NOTICE_ACCEPT - NOTICE_LIMITS] = "times connections could not be accepted at once",
};

bool notice_due(struct notices *notices, enum notice notice, uint64_t now_ms)
{
	if (log_enabled(LOG_DEBUG))
		return true;
	if (notices->of[notice].written > 0 && now_ms - notices->of[notice].since_ms >= NOTICE_INTERVAL_MS &&
	    notices->of[notice].left_out == 0)
		notices->of[notice].written = 0;
	if (notices->of[notice].written == 0)
		notices->of[notice].since_ms = now_ms;
	if (notices->of[notice].written < NOTICE_LINES) {
		notices->of[notice].written++;
		return true;
	}
	notices->of[notice].left_out++;
	return false;
}

void notice_limit(struct notices *notices, enum notice limit, uint64_t now_ms, const struct peer *peer,
		  const char *name)
{
	atomic_fetch_add_explicit(LIMITS[limit].counter, 1, memory_order_relaxed);
	if (notice_due(notices, limit, now_ms))
		log_write(LIMITS[limit].level, PEER_FORMAT "%s%s: %s", PEER_ARGUMENTS(peer), name[0] != '\0' ? " " : "",
			  name, LIMITS[limit].text);
}

void notices_tick(struct notices *notices, uint64_t now_ms)
{
	for (unsigned i = 0; i < NOTICE_COUNT; i++) {
		unsigned long long left_out = notices->of[i].left_out;

		if (left_out == 0 || now_ms - notices->of[i].since_ms < NOTICE_INTERVAL_MS)
			continue;
		notices->of[i].left_out = 0;
		notices->of[i].written = 0;
		if (i < NOTICE_LIMITS)
			log_write(LIMITS[i].level, "%llu more: %s", left_out, LIMITS[i].text);
		else
			log_write(LOG_INFO, "%llu more %s", left_out, OTHERS[i - NOTICE_LIMITS]);
	}
}
