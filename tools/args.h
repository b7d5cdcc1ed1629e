/*
 * args.h - command line options from a table: parsing, --help and its checks come from the same
 * rows.
 *
 * A value may follow as "--name value" or "--name=value". "--" ends the options. Every verb has
 * --help.
 */
#ifndef LORAC_TOOLS_ARGS_H
#define LORAC_TOOLS_ARGS_H

#include <lorac/base.h>

enum { MAX_GIVEN = 64, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 }; // and its number

struct option {
    const char *name;  // "--model"
    const char *value; // "DIR", or NULL: a switch; "N" takes a whole number, "0..9" one of these,
                       // "NAME=VALUE" such a pair, "TYPE" the name of a storage type; "a|b" one of
                       // these words; others say what completion offers (pages.h)
    const char *help;
    bool required;
    bool many; // may be given again
};

struct args {
    const char *verb;
    const struct option *options; // ends with name NULL
    const struct option *given[MAX_GIVEN];
    const char *values[MAX_GIVEN];
    size_t n_given;
    const char *positional[MAX_GIVEN];
    size_t n_positional;
    bool help;
};

struct verb {
    const char *program; // NULL: "lorac"
    const char *name;
    const char *usage;   // "RECIPE [options]"
    const char *summary; // one line
    const char *about;   // paragraphs for --help, with an example
    const struct option *options;
    const char *words; // that may stand first, "init check", or NULL
    size_t min_positional, max_positional;
    int (*run)(const struct args *a); // exit code
    bool shared;                      // several processes may do it together (mpirun)
};

/* Read the words behind the verb. On failure one line in `err`. */
enum lorac_status args_parse(struct args *out, const struct verb *v, int argc, char **argv,
                             struct lorac_err *err);
void args_help(const struct verb *v); // to stdout
/* What an option's TYPE may be, with `between` between the words. */
const char *args_types(char words[64], const char *between);

const char *args_text(const struct args *a, const char *name, const char *otherwise);
bool args_has(const struct args *a, const char *name);
/* The i-th value given for a repeatable option, or NULL. */
const char *args_each(const struct args *a, const char *name, size_t i);
enum lorac_status args_count(size_t *out, const struct args *a, const char *name,
                             struct lorac_err *err); // unchanged where absent
enum lorac_status args_number(double *out, const struct args *a, const char *name, double min,
                              double max, struct lorac_err *err); // unchanged where absent

/* The command as it was typed, quoted for a shell, without --resume and --overwrite. */
void args_again(struct lorac_buf *b, const struct args *a);

#endif
