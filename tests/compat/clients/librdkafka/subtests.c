/* Which subtests a run of librdkafka's test-runner has: its own SUBTESTS names one, these two leave some out.
 *
 * SUBTESTS_SKIP   names of functions, with commas between them: they are not run
 * SUBTESTS_SHARE  "K/N": of the others every N-th, from the K-th on
 *
 * Linked with --wrap=test_sub_start, so that the sources of the tests stay as they are.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __real_test_sub_start(const char *function, int line, int quick, const char *format, ...);

static int named(const char *list, const char *name) {
        size_t length = strlen(name);

        while (list && *list) {
                size_t here = strcspn(list, ",");
                if (here == length && !strncmp(list, name, length))
                        return 1;
                list += here + (list[here] == ',');
        }
        return 0;
}

int __wrap_test_sub_start(const char *function, int line, int quick, const char *format, ...) {
        static int seen;
        const char *share = getenv("SUBTESTS_SHARE");
        char words[256]   = "";
        int which, of;

        if (named(getenv("SUBTESTS_SKIP"), function))
                return 0;
        if (share && sscanf(share, "%d/%d", &which, &of) == 2 && of > 0 && seen++ % of != which)
                return 0;
        if (format) {
                va_list arguments;
                va_start(arguments, format);
                vsnprintf(words, sizeof(words), format, arguments);
                va_end(arguments);
        }
        return __real_test_sub_start(function, line, quick, "%s", words);
}
