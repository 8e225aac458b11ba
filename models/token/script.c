/* script.c -- the script of a character, for the pre-tokenizer UnicodeScripts.
 *
 * In: a code point. Out: a number that is equal for characters of one script.
 * The properties are PCRE2's: one expression with a group for each script, and
 * the number of the group that matched. It is compiled when the first such
 * text comes.
 *
 * The rules beside the property are sentencepiece's: a space goes with every
 * script, and so do the scripts that came after Unicode 9; Hiragana, Katakana
 * and the prolonged sound mark count as Han.
 */
#include "tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* By how often they are met, then by name. */
static const char *const names[] = {
    "Common",
    "Latin",
    "Han",
    "Hiragana",
    "Katakana",
    "Cyrillic",
    "Arabic",
    "Hangul",
    "Greek",
    "Adlam",
    "Ahom",
    "AnatolianHieroglyphs",
    "Armenian",
    "Avestan",
    "Balinese",
    "Bamum",
    "BassaVah",
    "Batak",
    "Bengali",
    "Bhaiksuki",
    "Bopomofo",
    "Brahmi",
    "Braille",
    "Buginese",
    "Buhid",
    "CanadianAboriginal",
    "Carian",
    "CaucasianAlbanian",
    "Chakma",
    "Cham",
    "Cherokee",
    "Coptic",
    "Cuneiform",
    "Cypriot",
    "Deseret",
    "Devanagari",
    "Duployan",
    "EgyptianHieroglyphs",
    "Elbasan",
    "Ethiopic",
    "Georgian",
    "Glagolitic",
    "Gothic",
    "Grantha",
    "Gujarati",
    "Gurmukhi",
    "Hanunoo",
    "Hatran",
    "Hebrew",
    "ImperialAramaic",
    "Inherited",
    "InscriptionalPahlavi",
    "InscriptionalParthian",
    "Javanese",
    "Kaithi",
    "Kannada",
    "KayahLi",
    "Kharoshthi",
    "Khmer",
    "Khojki",
    "Khudawadi",
    "Lao",
    "Lepcha",
    "Limbu",
    "LinearA",
    "LinearB",
    "Lisu",
    "Lycian",
    "Lydian",
    "Mahajani",
    "Malayalam",
    "Mandaic",
    "Manichaean",
    "Marchen",
    "MeeteiMayek",
    "MendeKikakui",
    "MeroiticCursive",
    "MeroiticHieroglyphs",
    "Miao",
    "Modi",
    "Mongolian",
    "Mro",
    "Multani",
    "Myanmar",
    "Nabataean",
    "NewTaiLue",
    "Newa",
    "Nko",
    "Ogham",
    "OlChiki",
    "OldHungarian",
    "OldItalic",
    "OldNorthArabian",
    "OldPermic",
    "OldPersian",
    "OldSouthArabian",
    "OldTurkic",
    "Oriya",
    "Osage",
    "Osmanya",
    "PahawhHmong",
    "Palmyrene",
    "PauCinHau",
    "PhagsPa",
    "Phoenician",
    "PsalterPahlavi",
    "Rejang",
    "Runic",
    "Samaritan",
    "Saurashtra",
    "Sharada",
    "Shavian",
    "Siddham",
    "SignWriting",
    "Sinhala",
    "SoraSompeng",
    "Sundanese",
    "SylotiNagri",
    "Syriac",
    "Tagalog",
    "Tagbanwa",
    "TaiLe",
    "TaiTham",
    "TaiViet",
    "Takri",
    "Tamil",
    "Tangut",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    "Tifinagh",
    "Tirhuta",
    "Ugaritic",
    "Vai",
    "WarangCiti",
    "Yi",
};
enum { COUNT = sizeof names / sizeof *names, HAN = 3, KATAKANA = 5 };

struct krsi_scripts {
    pcre2_code *code;
    pcre2_match_data *data;
};

static krs_status
open_scripts(krsi_work *w, krs_error *err)
{
    krsi_buffer text = {0};
    int code;
    PCRE2_SIZE at;
    for (int i = 0; i < COUNT; i++) {
        const char *begin = i ? "|(\\p{sc:" : "(\\p{sc:";
        krsi_buffer_add(&text, begin, strlen(begin));
        krsi_buffer_add(&text, names[i], strlen(names[i]));
        krsi_buffer_add(&text, "})", 2);
    }
    struct krsi_scripts *s = calloc(1, sizeof *s);
    if (s && !text.failed) {
        s->code = pcre2_compile((PCRE2_SPTR)text.bytes, text.count,
                                PCRE2_UTF | PCRE2_ANCHORED, &code, &at, NULL);
        s->data = pcre2_match_data_create(COUNT + 1, NULL);
    }
    krsi_buffer_free(&text);
    if (s && s->code && s->data) {
        w->scripts = s;
        return KRS_OK;
    }
    krsi_scripts_free(s);
    return krsi_no_memory(err, "the scripts of Unicode");
}

krs_status
krsi_script_of(krsi_work *w, uint32_t code, int *out, krs_error *err)
{
    char bytes[4];
    *out = HAN;
    if (code == 0x30FC)
        return KRS_OK;
    *out = KRSI_ANY_SCRIPT;
    if (code == ' ')
        return KRS_OK;
    if (!w->scripts)
        KRS_TRY(open_scripts(w, err));
    int group = pcre2_match(w->scripts->code, (PCRE2_SPTR)bytes,
                            krsi_utf8_put(bytes, code), 0, PCRE2_NO_UTF_CHECK,
                            w->scripts->data, NULL) -
                1;
    if (group > 0) /* else it is of none of them */
        *out = group > HAN && group <= KATAKANA ? HAN : group;
    return KRS_OK;
}

void
krsi_scripts_free(struct krsi_scripts *s)
{
    if (!s)
        return;
    pcre2_code_free(s->code);
    pcre2_match_data_free(s->data);
    free(s);
}
