/* graph_svg.c -- a drawing of a graph as SVG: laid out by the program dot of
 * graphviz, which reads what krs_graph_print_dot wrote and writes to our stdout.
 */
#define _GNU_SOURCE /* pipe2 */
#include "graph_svg.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static krs_status
start(int input, pid_t *out, krs_error *err)
{
    char program[] = "dot", format[] = "-Tsvg";
    char *const argv[] = {program, format, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    int failed = posix_spawnp(out, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "--format svg needs the program dot (Debian: "
                        "graphviz): %s; --format dot writes what it draws",
                        strerror(failed));
    return KRS_OK;
}

/* What is not taken because dot ended is told by its exit code. */
static void
feed(int output, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t done = write(output, text, left);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        text += done;
        left -= (size_t)done;
    }
}

krs_status
print_svg(const char *dot, krs_error *err)
{
    int ends[2], code = 0;
    pid_t child;
    fflush(stdout); /* dot writes to it too */
    if (pipe2(ends, O_CLOEXEC) != 0)
        return krs_fail(err, KRS_E_IO, "no pipe to dot: %s", strerror(errno));
    krs_status status = start(ends[0], &child, err);
    close(ends[0]);
    if (status == KRS_OK) {
        void (*before)(int) = signal(SIGPIPE, SIG_IGN);
        feed(ends[1], dot);
        signal(SIGPIPE, before);
    }
    close(ends[1]);
    if (status != KRS_OK)
        return status;
    while (waitpid(child, &code, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(code) && WEXITSTATUS(code) == 0)
        return KRS_OK;
    return krs_fail(err, KRS_E_IO, "dot failed with %s %d",
                    WIFEXITED(code) ? "exit code" : "signal",
                    WIFEXITED(code) ? WEXITSTATUS(code) : WTERMSIG(code));
}
