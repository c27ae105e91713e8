//! Cues: words, and pairs of neighbouring words, that say what kind of work is asked for, in several languages.
//!
//! They are written as people write them and folded as the text is (lower case, no accents). An ideograph is a word, so
//! that Chinese cues are pairs. The lists are part of the feature schema: a new word means a predictor trained anew.

use std::sync::OnceLock;

use super::normalise::{Folded, Folds};
use super::word::Word;

/// What a cue points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cue {
    /// The writer speaks of themselves.
    Personal,
    /// Greetings, thanks, please.
    Courtesy,
    /// Work that takes steps: prove, derive, design, compare, debug.
    Reasoning,
    /// Work that most models do well: translate, list, correct; and plain questions of fact.
    Easy,
    /// Conditions that the answer must meet.
    Demand,
    /// Words that join clauses.
    Clause,
    /// Terms of mathematics, science, engineering, law and medicine.
    Technical,
}

impl Cue {
    /// How many kinds there are.
    pub(super) const COUNT: usize = 7;
}

/// The cues of each kind, separated by commas, a row a language: English, German, French, Spanish, Portuguese, Italian,
/// Chinese, Japanese, Russian, Arabic.
pub(super) const TABLE: [(Cue, &[&str]); Cue::COUNT] = [
    (
        Cue::Personal,
        &[
            "i, me, my, mine, myself, we, us, our",
            "ich, mich, mir, mein, meine, meinen, meiner, wir, uns, unser, unsere",
            "je, moi, mon, ma, mes, nous, notre, nos",
            "yo, mi, mis, nosotros, nuestro, nuestra",
            "eu, meu, minha, nos, nosso, nossa",
            "io, mio, mia, noi, nostro, nostra",
            "我",
            "私, 僕",
            "я, мне, меня, мой, моя, мы, нас, наш",
            "أنا, نحن",
        ],
    ),
    (
        Cue::Courtesy,
        &[
            "please, thanks, thank you, hello, hi, hey, welcome, sorry, good morning, good evening, congratulations, birthday",
            "bitte, danke, hallo, guten morgen, guten tag, guten abend, entschuldigung, gruß, grüße",
            "bonjour, merci, salut, bonsoir, pardon",
            "hola, gracias, por favor, buenos días, buenas tardes, perdón",
            "olá, obrigado, obrigada, bom dia, boa tarde, desculpe",
            "ciao, grazie, buongiorno, per favore, scusa",
            "你好, 您好, 谢谢, 早上, 抱歉, 請問, 请问",
            "こんにちは, ありがとう, ありがとうございます, おはよう, おはようございます",
            "привет, здравствуйте, спасибо, пожалуйста, извините",
            "مرحبا, شكرا, السلام عليكم, صباح الخير",
        ],
    ),
    (
        Cue::Reasoning,
        &[
            "prove, proof, derive, derivation, show that, design, architect, analyse, analyze, analysis, optimise, optimize, \
             explain why, explain how, compare, contrast, evaluate, debug, diagnose, refactor, implement, justify, reason, \
             reconcile, reconstruct, trade offs, critique, argue, argument, counterexample, determine, minimise, minimize, \
             maximise, maximize, formalise, formalize, generalise, generalize, step by, root cause, why does, why do, \
             how would, how should, what happens, under what, investigate, model, estimate, infer, predict, simulate, \
             strategy, plan, solve, verify, assess, synthesise, synthesize, weigh, disprove, refute",
            "beweise, beweisen, zeige dass, leite, herleiten, entwirf, entwerfen, entwickle, analysiere, analysieren, \
             optimiere, optimieren, erkläre warum, erläutere, begründe, vergleiche, vergleichen, bewerte, beurteile, \
             widerlege, untersuche, bestimme, warum, wieso, löse, schritt für, abwägen, plane",
            "démontre, démontrer, démontrez, prouve, prouver, prouvez, déduire, conçois, concevoir, concevez, analyse, analyser, \
             analysez, optimiser, optimisez, explique pourquoi, expliquez pourquoi, compare, comparer, comparez, évaluer, évaluez, \
             justifier, justifiez, déterminer, déterminez, pourquoi, résoudre, résolvez",
            "demuestra, demostrar, demuestre, deduce, deriva, diseña, diseñar, diseñe, analiza, analizar, analice, optimiza, \
             optimizar, explica por, compara, comparar, compare, evalúa, evaluar, justifica, determina, por qué, resuelve, resolver",
            "prove que, demonstre, demonstrar, projete, projetar, analise, analisar, otimize, otimizar, explique por, comparar, \
             avalie, avaliar, justifique, determine, por que, resolva",
            "dimostra, dimostrare, deriva, progetta, progettare, analizza, analizzare, ottimizza, ottimizzare, spiega perché, \
             confronta, confrontare, valuta, valutare, giustifica, determina, perché, risolvi",
            "证明, 推导, 设计, 分析, 优化, 解释, 比较, 评估, 调试, 论证, 求解, 为什, 证实, 實現, 实现, 證明, 設計, 推理, 计算",
            "証明, 設計, 最適, 比較, 評価, 導出, 考察, なぜ, 実装",
            "докажите, докажи, доказать, выведите, спроектируйте, спроектируй, проанализируйте, проанализируй, оптимизируйте, \
             объясните почему, объясни почему, сравните, сравни, оцените, обоснуйте, почему, решите",
            "أثبت, برهن, صمم, حلل, قارن, لماذا, اشرح لماذا, اشتق",
        ],
    ),
    (
        Cue::Easy,
        &[
            "translate, list, name, define, spell, spelling, typo, typos, fix, correct, rewrite, rephrase, paraphrase, convert, \
             capitalise, capitalize, sort, count, summarise, summarize, shorten, synonym, synonyms, rhyme, joke, recipe, \
             reply, email, greeting, what is, what are, who is, who was, who wrote, when was, when did, where is, \
             which country, how many, how much, how old, how do, what colour, what color, what year, what day, the capital, \
             is it, tell me, give me, suggest",
            "übersetze, übersetzen, liste, nenne, buchstabiere, korrigiere, korrigieren, rechtschreibung, zähle, sortiere, \
             fasse, was ist, wer ist, wer war, wo ist, wo liegt, wann war, wie viele, wie viel, wie heißt, die hauptstadt, \
             schreibe, tippfehler",
            "traduis, traduire, traduisez, liste, cite, citez, corrige, corriger, corrigez, résume, résumez, orthographe, \
             qui est, où est, quelle est, quel est, combien de, la capitale, quand a",
            "traduce, traducir, traduzca, enumera, nombra, corrige, corregir, resume, ortografía, qué es, quién es, dónde está, \
             cuál es, cuántos, cuántas, cuándo, la capital, cuenta",
            "traduza, traduzir, liste, corrija, corrigir, resuma, o que, quem é, onde fica, qual é, quantos, quantas",
            "traduci, tradurre, elenca, correggi, riassumi, che cos, chi è, dove si, qual è, quanti, quante",
            "翻译, 列出, 改正, 总结, 什么, 哪里, 多少, 几个, 翻譯, 首都, 谁是, 写一",
            "翻訳, 要約, 教",
            "переведи, переведите, перечисли, перечислите, исправь, исправьте, назови, назовите, что такое, кто такой, \
             где находится, сколько, столица",
            "ترجم, اذكر, صحح, لخص, ما هو, ما هي, من هو, أين, كم, عاصمة",
        ],
    ),
    (
        Cue::Demand,
        &[
            "must, should, at least, at most, exactly, without, ensure, only, except, unless, constraint, constraints, given, \
             assume, suppose, require, requires, required, guarantee, avoid, cannot, strictly, respectively, such that",
            "muss, müssen, soll, sollen, mindestens, höchstens, genau, ohne, nur, außer, angenommen, darf, gegeben",
            "doit, doivent, moins, exactement, sans, seulement, supposons, sauf, étant donné",
            "debe, deben, menos, exactamente, sin, sólo, supongamos, salvo, dado que",
            "deve, devem, menos, exatamente, sem, apenas, suponha, exceto, dado que",
            "deve, devono, almeno, esattamente, senza, soltanto, supponiamo, tranne",
            "必须, 至少, 至多, 假设, 不能, 要求, 保证, 給定, 给定",
            "必, ただし, 条件",
            "должен, должна, должно, должны, минимум, ровно, без, только, предположим, кроме",
            "يجب, بدون, فقط, بشرط, بحيث",
        ],
    ),
    (
        Cue::Clause,
        &[
            "because, although, though, while, whereas, which, whose, if, since, whether, however, therefore, hence, despite, \
             but, thus, until, once, so that",
            "weil, obwohl, während, dass, wenn, falls, ob, damit, jedoch, deshalb, trotzdem, aber, sodass, nachdem",
            "car, quoique, tandis, dont, lorsque, puisque, cependant, donc, malgré, mais, afin",
            "porque, aunque, mientras, cuyo, sino, puesto, embargo, entonces, pero, cuando",
            "porque, embora, enquanto, cujo, portanto, porém, quando, mas",
            "sebbene, mentre, poiché, quindi, tuttavia, quando, ma",
            "因为, 虽然, 如果, 但是, 所以, 然而, 因此, 由于",
            "しかし, なので, もし",
            "потому, хотя, если, который, которая, которые, чтобы, однако, поэтому, но, когда",
            "لأن, إذا, لكن, الذي, التي, بينما, لذلك",
        ],
    ),
    (
        Cue::Technical,
        &[
            "theorem, lemma, integral, derivative, matrix, eigenvalue, eigenvalues, polynomial, prime, modulo, probability, \
             variance, expectation, distribution, gradient, convergence, converges, topology, manifold, algorithm, complexity, \
             asymptotic, recursion, concurrency, concurrent, deadlock, latency, throughput, distributed, consensus, protocol, \
             cache, mutex, kernel, compiler, pointer, thread, invariant, entropy, quantum, equation, equations, equilibrium, \
             enzyme, isomer, statute, jurisdiction, liability, precedent, differential, diagnosis, hypothesis, regression, \
             causal, bayesian, stochastic, elasticity, tort, constitutional, molecule, voltage, thermodynamic, \
             cryptographic, database, query, transaction, replication, schema, api",
            "satz, ableitung, matrix, eigenwert, wahrscheinlichkeit, varianz, algorithmus, komplexität, nebenläufig, gleichung, \
             gleichungen, haftung, gerichtsstand, hypothese, stetig, konvergiert, datenbank, protokoll",
            "théorème, intégrale, dérivée, matrice, probabilité, algorithme, complexité, équation, responsabilité, hypothèse, continue",
            "teorema, integral, derivada, matriz, probabilidad, algoritmo, complejidad, ecuación, hipótesis",
            "probabilidade, complexidade, equação, hipótese, algoritmo",
            "integrale, derivata, matrice, probabilità, complessità, equazione, ipotesi",
            "定理, 积分, 导数, 矩阵, 概率, 算法, 复杂, 方程, 并发, 分布, 假说",
            "確率, 行列, 積分, 微分, 方程",
            "теорема, теорему, интеграл, производная, матрица, вероятность, алгоритм, сложность, уравнение, гипотеза",
            "نظرية, تكامل, مشتقة, مصفوفة, احتمال, خوارزمية, معادلة",
        ],
    ),
];

/// The cues by hash.
pub(super) struct Cues {
    /// A bit for each cue at a place that its key gives: where it is not set, which is nearly always, there is no cue.
    hints: [u64; HINTS],
    /// The upper bits of the key and, in the lowest byte, one more than the kind; 0 is a free slot.
    slots: Box<[u64]>,
}

/// Log2 of the number of slots.
const BITS: u32 = 12;

/// Words of 64 hints: 2 KiB, which stay in the first cache level.
const HINTS: usize = 256;

impl Cues {
    /// The one table of the process.
    pub(super) fn shared() -> &'static Cues {
        static CUES: OnceLock<Cues> = OnceLock::new();
        CUES.get_or_init(|| {
            let mut cues = Cues { hints: [0; HINTS], slots: vec![0; 1 << BITS].into() };
            for (cue, phrase) in phrases() {
                if let Some(key) = key(phrase) {
                    cues.insert(key, cue);
                }
            }
            cues
        })
    }

    fn insert(&mut self, key: u64, cue: Cue) {
        let (mut slot, mixed) = address(key);
        let (hint, bit) = hint(mixed);
        self.hints[hint] |= bit;
        while self.slots[slot] != 0 && self.slots[slot] & !0xFF != mixed {
            slot = (slot + 1) % self.slots.len();
        }
        // The first list that names a word has it: some words mean different things in different languages.
        if self.slots[slot] == 0 {
            self.slots[slot] = mixed | (cue as u64 + 1);
        }
    }

    /// What the word or pair with this key points to, as an index below [`Cue::COUNT`].
    #[inline]
    pub(super) fn get(&self, key: u64) -> Option<usize> {
        let (mut slot, mixed) = address(key);
        let (hint, bit) = hint(mixed);
        if self.hints[hint] & bit == 0 {
            return None;
        }
        loop {
            let entry = *self.slots.get(slot)?;
            if entry == 0 {
                return None;
            }
            if entry & !0xFF == mixed {
                return (entry as usize & 0xFF).checked_sub(1);
            }
            slot = (slot + 1) & ((1 << BITS) - 1);
        }
    }
}

/// The key of two neighbouring words by their hashes; with no neighbour (0) it is not the key of the word alone.
#[inline]
pub(super) fn pair(before: u64, word: u64) -> u64 {
    (before ^ 0x5851_F42D_4C95_7F2D).rotate_left(23).wrapping_mul(0xA24B_AED4_963E_E407) ^ word
}

#[inline]
fn address(key: u64) -> (usize, u64) {
    let mixed = (key ^ key >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    ((mixed >> (64 - BITS)) as usize, mixed & !0xFF)
}

/// Where the hint of a mixed key lies.
#[inline]
fn hint(mixed: u64) -> (usize, u64) {
    ((mixed >> 16) as usize % HINTS, 1 << (mixed >> 10 & 63))
}

/// All cues in the order of the table.
fn phrases() -> impl Iterator<Item = (Cue, &'static str)> {
    let split = |line: &'static str| line.split(',').map(str::trim);
    TABLE.iter().flat_map(move |&(cue, lines)| lines.iter().flat_map(move |line| split(line).map(move |phrase| (cue, phrase))))
}

/// The key of a phrase of one or two words.
fn key(phrase: &str) -> Option<u64> {
    match *hashes(phrase) {
        [word] => Some(word),
        [before, word] => Some(pair(before, word)),
        _ => None,
    }
}

fn hashes(phrase: &str) -> Vec<u64> {
    let (folds, mut word, mut hashes) = (Folds::shared(), Word::new(), Vec::new());
    let mut at = 0;
    while let Some(character) = phrase.get(at..).and_then(|rest| rest.chars().next()) {
        let next = at + character.len_utf8();
        at = match folds.of(character) {
            Folded::Nothing | Folded::Space | Folded::Mark(_) => next,
            Folded::Ideograph(ideograph) => {
                word.set(ideograph);
                hashes.push(word.hash());
                next
            }
            Folded::Letter(_) | Folded::Letters => {
                let end = word.read(phrase, at, phrase.len(), folds);
                hashes.push(word.hash());
                end
            }
        };
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cue_has_one_or_two_words_and_is_found() {
        for (cue, phrase) in phrases() {
            let key = key(phrase).unwrap_or_else(|| panic!("`{phrase}` of {cue:?} has {} words", hashes(phrase).len()));
            assert!(Cues::shared().get(key).is_some(), "{phrase}");
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_kind_in_order_and_stays_half_empty() {
        for (index, (cue, _)) in TABLE.iter().enumerate() {
            assert_eq!(*cue as usize, index);
        }
        assert!(phrases().count() < 1 << (BITS - 1));
    }
}
