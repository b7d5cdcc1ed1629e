/* board.h - a board of runs (report/board.h), printed: what `lorac runs` and a sweep end with. */
#ifndef LORAC_TOOLS_BOARD_H
#define LORAC_TOOLS_BOARD_H

#include <lorac/recipes.h>

enum board_form { BOARD_TABLE, BOARD_CSV, BOARD_JSON };

/* That of the runs in these folders, on stdout; `cost`: with time, memory and size, which differ
 * each time. Returns the exit code. */
int board_print(const char *const *dirs, size_t n_dirs, const struct lorac_board_options *o,
                enum board_form form, bool cost);

#endif
