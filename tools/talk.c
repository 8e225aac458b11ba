/* talk.c -- what the program says on stderr, and the exit codes that go with
 * it. The name of the subcommand is set once by main; whether a live line
 * stands there is the other piece of state: whatever is said next takes its
 * place.
 */
#include "command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *talker = "";
static bool has_live_line;

void
name_talker(const char *name)
{
    talker = name;
}

bool
talk_has_color(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(no && no[0]) && !(terminal && !strcmp(terminal, "dumb")) &&
           isatty(STDERR_FILENO);
}

bool
talk_is_live(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

void
talk_live(const char *format, ...)
{
    va_list args;
    /* without wrapping at the right edge, which \r could not undo */
    fprintf(stderr, "\r\033[K\033[?7l");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\033[?7h");
    fflush(stderr);
    has_live_line = true;
}

void
talk_over(void)
{
    if (!has_live_line)
        return;
    fprintf(stderr, "\r\033[K");
    has_live_line = false;
}

static void
print_error(const char *text)
{
    bool color = talk_has_color();
    talk_over();
    fflush(stdout); /* data before the talk about it */
    fprintf(stderr, "kersey%s%s: %serror:%s %s\n", talker[0] ? " " : "", talker,
            color ? "\033[31m" : "", color ? "\033[0m" : "", text);
}

int
complain(const krs_error *err)
{
    print_error(err->text);
    if (err->status == KRS_E_CHECK)
        return EXIT_SHORT;
    return err->status == KRS_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int
complain_usage(const char *format, ...)
{
    char text[KRS_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error(text);
    return EXIT_USAGE;
}

void
talk(const char *format, ...)
{
    va_list args;
    talk_over();
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}
