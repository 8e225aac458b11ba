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
    printf("    %s) offered=\"", command->name);
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
           "    local word=${COMP_WORDS[COMP_CWORD]} offered= commands=\"");
    for (int i = 0; i < command_count; i++)
        printf("%s%s", i ? " " : "", command_rows[i].name);
    printf("\"\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"$commands help --help "
           "--version\" -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n"
           "    help) COMPREPLY=($(compgen -W \"$commands\" -- \"$word\"))\n"
           "        return ;;\n");
    for (int i = 0; i < command_count; i++)
        print_bash_flags(&command_rows[i]);
    printf("    esac\n"
           "    case $word in\n"
           "    -*) COMPREPLY=($(compgen -W \"$offered\" -- \"$word\")) ;;\n"
           "    *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
           "    esac\n"
           "}\n"
           "complete -o filenames -F _kersey kersey\n");
}

/* ---- zsh ---- */

/* '(-b --backend)'{-b+,--backend=}'[where programs run]:NAME:_files' */
static void
print_zsh_flag(const struct command *command, int id)
{
    const struct flag_row *row = &flag_rows[id];
    char name[FLAG_NAME], letter = flag_letter(command, id);
    char help[HELP_BYTES];
    bool has_value = row->kind != FLAG_SWITCH;
    spell_flag(row->name, name);
    if (letter)
        printf(" \\\n        '(-%c --%s)'{-%c%s,--%s%s}'[", letter, name,
               letter, has_value ? "+" : "", name, has_value ? "=" : "");
    else
        printf(" \\\n        '--%s%s[", name, has_value ? "=" : "");
    print_quoted(flag_help(command, id, help), "[]:\\");
    printf("]%s%s%s'", has_value ? ":" : "", has_value ? row->unit : "",
           row->kind == FLAG_TEXT ? ":_files" : "");
}

static void
print_zsh_flags(const struct command *command)
{
    printf("    %s) _arguments", command->name);
    for (int i = 0; i < FLAG_ID_COUNT; i++)
        if (command->takes[i])
            print_zsh_flag(command, i);
    printf(" \\\n        '(-h --help)'{-h,--help}'[show its flags]' "
           "'*:file:_files' ;;\n");
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
    printf("    ) others=(\n"
           "        'help:show the flags of a command'\n"
           "        '--help:show the commands'\n"
           "        '--version:show the version'\n"
           "    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        _describe command commands -- others\n"
           "        return\n"
           "    fi\n"
           "    local command=$words[2]\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $command in\n"
           "    help) _describe command commands ;;\n");
    for (int i = 0; i < command_count; i++)
        print_zsh_flags(&command_rows[i]);
    printf("    esac\n"
           "}\n"
           "_kersey \"$@\"\n");
}

/* ---- fish ---- */

static void
print_fish_flags(const struct command *command)
{
    char name[FLAG_NAME], help[HELP_BYTES];
    for (int i = 0; i < FLAG_ID_COUNT; i++) {
        const struct flag_row *row = &flag_rows[i];
        char letter = flag_letter(command, i);
        if (!command->takes[i])
            continue;
        printf("complete -c kersey -n '__kersey_runs %s' -l %s%s",
               command->name, spell_flag(row->name, name),
               row->kind == FLAG_SWITCH ? "" : " -r");
        if (letter)
            printf(" -s %c", letter);
        printf(" -d '");
        print_quoted(flag_help(command, i, help), "\\");
        printf("'\n");
    }
}

static void
print_fish(void)
{
    printf("# fish completion of kersey, made by: kersey completion fish\n"
           "function __kersey_has_no_command\n"
           "    test (count (commandline -opc)) -eq 1\n"
           "end\n"
           "function __kersey_runs\n"
           "    set -l words (commandline -opc)\n"
           "    test (count $words) -ge 2; and test \"$words[2]\" = $argv[1]\n"
           "end\n"
           "complete -c kersey -s h -l help -d 'show commands, or flags'\n"
           "complete -c kersey -n __kersey_has_no_command -l version -d "
           "'show the version'\n"
           "complete -c kersey -n __kersey_has_no_command -f -a help -d 'show "
           "the flags of a command'\n");
    for (int i = 0; i < command_count; i++) {
        const struct command *command = &command_rows[i];
        printf("complete -c kersey -n '__kersey_has_no_command; or "
               "__kersey_runs help' -f -a %s -d '",
               command->name);
        print_quoted(command->purpose, "\\");
        printf("'\n");
        print_fish_flags(command);
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
