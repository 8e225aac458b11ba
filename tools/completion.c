/* completion.c -- kersey completion: a script for a shell, expanded from the
 * tables of commands and flags.
 *
 *     eval "$(kersey completion bash)"
 *     kersey completion zsh > "${fpath[1]}/_kersey"
 *     kersey completion fish > ~/.config/fish/completions/kersey.fish
 *
 * `cmake --install` puts all three where the shells look for them.
 */
#include "command.h"

#include <string.h>

/* 'text' of a shell: a quote ends it, comes escaped, and begins it again. In
 * zsh descriptions brackets and colons end something too. */
static void
print_quoted(const char *text, const char *escaped)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\'')
            printf("'\\''");
        else if (strchr(escaped, *c))
            printf("\\%c", *c);
        else
            putchar(*c);
    }
}

/* ---- bash ---- */

static void
print_bash_flags(const struct command *command)
{
    char name[FLAG_NAME];
    printf("    %s) flags=\"", command->name);
    for (int i = 0; i < FLAG_ID_COUNT; i++)
        if (command->takes[i])
            printf("--%s ", spell_flag(flag_rows[i].name, name));
    printf("--help\" ;;\n");
}

static void
print_bash(void)
{
    printf("# bash completion of kersey, made by: kersey completion bash\n"
           "_kersey() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} flags=\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"");
    for (int i = 0; i < command_count; i++)
        printf("%s ", command_rows[i].name);
    printf("help --help --version\" -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < command_count; i++)
        print_bash_flags(&command_rows[i]);
    printf("    esac\n"
           "    case $word in\n"
           "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
           "    *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
           "    esac\n"
           "}\n"
           "complete -o filenames -F _kersey kersey\n");
}

/* ---- zsh ---- */

static void
print_zsh_flags(const struct command *command)
{
    char name[FLAG_NAME];
    printf("    %s) _arguments", command->name);
    for (int i = 0; i < FLAG_ID_COUNT; i++) {
        const struct flag_row *row = &flag_rows[i];
        if (!command->takes[i])
            continue;
        printf(" \\\n        '--%s%s[", spell_flag(row->name, name),
               row->kind == FLAG_SWITCH ? "" : "=");
        print_quoted(row->help, "[]:\\");
        printf("]%s%s%s'", row->kind == FLAG_SWITCH ? "" : ":",
               row->kind == FLAG_SWITCH ? "" : row->unit,
               row->kind == FLAG_TEXT ? ":_files" : "");
    }
    printf(" \\\n        '--help[show its flags]' '*:file:_files' ;;\n");
}

static void
print_zsh(void)
{
    printf("#compdef kersey\n"
           "# zsh completion of kersey, made by: kersey completion zsh\n"
           "_kersey() {\n"
           "    local -a commands=(\n");
    for (int i = 0; i < command_count; i++) {
        printf("        '%s:", command_rows[i].name);
        print_quoted(command_rows[i].purpose, ":\\");
        printf("'\n");
    }
    printf("    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local command=$words[2]\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $command in\n");
    for (int i = 0; i < command_count; i++)
        print_zsh_flags(&command_rows[i]);
    printf("    esac\n"
           "}\n"
           "_kersey \"$@\"\n");
}

/* ---- fish ---- */

static void
print_fish(void)
{
    char name[FLAG_NAME];
    printf("# fish completion of kersey, made by: kersey completion fish\n");
    for (int i = 0; i < command_count; i++) {
        const struct command *command = &command_rows[i];
        printf("complete -c kersey -n __fish_use_subcommand -f -a %s -d '",
               command->name);
        print_quoted(command->purpose, "\\");
        printf("'\n");
        for (int k = 0; k < FLAG_ID_COUNT; k++) {
            const struct flag_row *row = &flag_rows[k];
            if (!command->takes[k])
                continue;
            printf("complete -c kersey -n '__fish_seen_subcommand_from %s' "
                   "-l %s%s -d '",
                   command->name, spell_flag(row->name, name),
                   row->kind == FLAG_SWITCH ? "" : " -r");
            print_quoted(row->help, "\\");
            printf("'\n");
        }
    }
}

int
command_completion(const struct command_line *line)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {
        {"bash", print_bash},
        {"zsh",  print_zsh },
        {"fish", print_fish}
    };
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shells[i].shell, line->operands[0]) != 0)
            continue;
        shells[i].print();
        return EXIT_OK;
    }
    return complain_usage("no completion for \"%s\"; there are bash, zsh and "
                          "fish",
                          line->operands[0]);
}
