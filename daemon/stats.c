#include "daemon/stats.h"

struct stats stats;
