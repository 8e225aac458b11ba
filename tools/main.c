/* main.c -- the kersey program: find the subcommand, run it, and make sure
 * that what it printed arrived.
 *
 * In: argv. Out: the exit code of the subcommand; EXIT_USAGE when there is
 * none such; EXIT_FAILED when stdout could not be written.
 *
 * The standard descriptors are opened if the caller closed them, so that no
 * file of ours can become stdout by taking its number.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A closed descriptor is opened the wrong way round: writing to fd 1 and
 * reading from fd 0 must still fail. */
static void
keep_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_FAILED);
    }
}

static const char *
name_of_command(int i, const void *context)
{
    (void)context;
    return command_rows[i].name;
}

static const struct command *
find_command(const char *word)
{
    for (int i = 0; i < command_count; i++) {
        if (!strcmp(command_rows[i].name, word))
            return &command_rows[i];
    }
    int near = nearest(word, command_count, name_of_command, NULL);
    if (near >= 0)
        complain_usage("unknown command \"%s\"; did you mean %s?", word,
                       command_rows[near].name);
    else
        complain_usage("unknown command \"%s\"; see kersey --help", word);
    return NULL;
}

static int
run_command(const char *word, int argc, char **argv)
{
    const struct command *command = find_command(word);
    if (!command)
        return EXIT_USAGE;
    struct command_line line;
    krs_error err;
    name_talker(command->name);
    if (parse_arguments(command, argc, argv, &line, &err) != KRS_OK)
        return complain_usage("%s", err.text);
    if (line.help) {
        print_command_help(command);
        return EXIT_OK;
    }
    return command->run(&line);
}

static int
run(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (!word[0])
        return complain_usage("which command? see kersey --help");
    if (!strcmp(word, "--version")) {
        printf("kersey %s\n", krs_version());
        return EXIT_OK;
    }
    bool wants_help =
        !strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h");
    if (!wants_help)
        return run_command(word, argc - 2, argv + 2);
    if (argc == 2) {
        print_help();
        return EXIT_OK;
    }
    const struct command *command = find_command(argv[2]);
    if (!command)
        return EXIT_USAGE;
    print_command_help(command);
    return EXIT_OK;
}

int
main(int argc, char **argv)
{
    keep_standard_descriptors();
    int code = run(argc, argv);
    bool lost = ferror(stdout);
    if ((fclose(stdout) != 0 || lost) && code == EXIT_OK) {
        krs_error err;
        krs_fail(&err, KRS_E_IO, "cannot write to stdout: %s", strerror(errno));
        code = complain(&err);
    }
    return code;
}
