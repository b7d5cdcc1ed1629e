/*
 * page.h - inside recipes/: what a page is made of: its head with all of its style, sections,
 * facts, cells of tables. One file, without a script, a letter's shape or a picture from elsewhere;
 * dark where its reader's screen is; on paper as it is.
 *
 * Text is escaped (plot.h); `style` and `about` of the functions below are ours. Want of memory is
 * the buffer's to tell.
 */
#ifndef LORAC_RECIPES_PAGE_H
#define LORAC_RECIPES_PAGE_H

#include "recipes/report/plot.h"

/* `mark`: an element of the head. `refresh`: seconds after which a browser loads the page again;
 * 0: it never does. */
void lorac_page_begin(struct lorac_buf *b, const char *mark, const char *title, size_t refresh);
void lorac_page_end(struct lorac_buf *b);

void lorac_page_section(struct lorac_buf *b, const char *title, const char *note); // note: or NULL
void lorac_page_section_end(struct lorac_buf *b);
/* A picture with its caption: what, and in which unit or how it is drawn. */
void lorac_page_figure(struct lorac_buf *b, const char *what, const char *unit);
void lorac_page_figure_end(struct lorac_buf *b);

/* An item of a list of facts. */
void lorac_page_fact(struct lorac_buf *b, const char *name, const char *fmt, ...)
    LORAC_PRINTF(3, 4);
void lorac_page_cell(struct lorac_buf *b, const char *style, const char *text); // a <td>
void lorac_page_number(struct lorac_buf *b, double v, int places); // a <td>; none where not finite

const char *lorac_page_last(const char *path); // its last name
size_t lorac_page_letters(const char *text);
/* A text of at most `letters` (4 to 40): where it is longer its two ends, which tell it from its
 * like. Blanks in front are left out. */
enum { LORAC_PAGE_BRIEF = 4 * 40 + 12 };
const char *lorac_page_brief(char out[LORAC_PAGE_BRIEF], const char *text, size_t letters);

/* ---- amounts as text ---- */

const char *lorac_page_time(char text[32], double seconds); // "13 min 39 s"
const char *lorac_page_bytes(char text[32], size_t bytes);  // "18.7 MiB"
const char *lorac_page_count(char text[32], size_t n);      // "1,031"

extern const char *const lorac_page_style[]; // of all pages; NULL behind the last piece

#endif
