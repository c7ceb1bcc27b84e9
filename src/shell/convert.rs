//! From the tree of `shuck-parser` to ours, with a second reading of the text between its words.
//!
//! The crate is lenient (`; a` is clean to it) and some of its spans reach into the next token. So each operator,
//! keyword and comment is read here again with a cursor, and each word must start where the cursor stands: what
//! does not fit makes the whole text opaque.

use shuck_ast as ast;
use shuck_parser::parser::{ParseStatus, Parser, ShellDialect};

use super::{
    AndOr, Assign, Dialect, Joint, Node, NodeKind, Op, Opaque, Redirect, RedirectKind, Simple, Statement,
    Terminator, Word,
};
use crate::edit::{Span, to_u32};

mod words;

/// What is found in a text.
pub(super) struct Tree {
    pub statements: Vec<Statement>,
    pub comments: Vec<Span>,
    pub heredoc: bool,
}

type Result<T> = std::result::Result<T, String>;

/// Reads `text`, or says why it cannot be.
pub(super) fn convert(text: &[u8], dialect: Dialect) -> Result<Tree> {
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_string())?;
    if text.contains("expand_aliases") {
        return Err("it turns on aliases, which change the grammar".to_string());
    }
    let shuck = match dialect {
        Dialect::Posix => ShellDialect::Posix,
        Dialect::Bash => ShellDialect::Bash,
    };
    // The crate has limits for depth and stack, yet it is young: a panic of it is no reason to stop.
    let parsed = std::panic::catch_unwind(|| Parser::with_dialect(text, shuck).parse());
    let parsed = parsed.map_err(|_| "the shell parser failed".to_string())?;
    if parsed.status != ParseStatus::Clean {
        return Err(parsed.strict_error().to_string());
    }
    let mut reader = Reader {
        text,
        dialect,
        at: 0,
        newline: false,
        comments: Vec::new(),
        heredocs: Vec::new(),
        heredoc: false,
    };
    let statements = reader.list(&parsed.file.body)?;
    reader.skip();
    if reader.at != text.len() {
        return Err(format!("unexpected `{}`", reader.peek()));
    }
    if !reader.heredocs.is_empty() {
        return Err("a here-document without a body".to_string());
    }
    reader.comments.sort_unstable();
    Ok(Tree { statements, comments: reader.comments, heredoc: reader.heredoc })
}

/// A cursor over the text beside the tree.
struct Reader<'a> {
    text: &'a str,
    dialect: Dialect,
    at: usize,
    /// Whether the last `skip` went over a line end.
    newline: bool,
    comments: Vec<Span>,
    /// Delimiter and `<<-` of the here-documents whose bodies are still to come, with the body that is expected.
    heredocs: Vec<Pending>,
    heredoc: bool,
}

struct Pending {
    delimiter: String,
    strip: bool,
    body: std::ops::Range<usize>,
}

impl<'a> Reader<'a> {
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// Goes over blanks, line ends with the here-documents after them, and comments.
    fn skip(&mut self) {
        self.newline = false;
        while self.at < self.text.len() {
            match self.byte(self.at) {
                b' ' | b'\t' => self.at += 1,
                b'\\' if self.byte(self.at + 1) == b'\n' => self.at += 2,
                b'\n' => {
                    self.at += 1;
                    self.newline = true;
                    if !self.bodies() {
                        return;
                    }
                }
                b'#' => {
                    let end = self.text[self.at..].find('\n').map_or(self.text.len(), |n| self.at + n);
                    self.comments.push(Span::new(self.at, end));
                    self.at = end;
                }
                _ => return,
            }
        }
    }

    /// Goes over the bodies of the here-documents that are due; `false` when one is not where the tree has it.
    fn bodies(&mut self) -> bool {
        while !self.heredocs.is_empty() {
            if self.heredocs[0].body.start != self.at {
                return false;
            }
            loop {
                let line = self.text[self.at..].split('\n').next().unwrap_or_default();
                let start = self.at;
                let found = if self.heredocs[0].strip { line.trim_start_matches('\t') } else { line };
                let found = found == self.heredocs[0].delimiter;
                self.at = (self.at + line.len() + 1).min(self.text.len());
                if found && start >= self.heredocs[0].body.end {
                    break;
                }
                if found || self.at == self.text.len() {
                    return false;
                }
            }
            self.heredocs.remove(0);
        }
        true
    }

    /// The token at the cursor: an operator, a parenthesis, a backquote, or text up to the next of these.
    fn peek(&mut self) -> &'a str {
        self.skip();
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let end = match bytes.first() {
            None => 0,
            Some(b'(' | b')' | b'`') => 1,
            Some(b';' | b'&' | b'|') => bytes.iter().take_while(|b| matches!(b, b';' | b'&' | b'|')).count(),
            Some(_) => bytes.iter().take_while(|b| !b" \t\n;&|()<>`".contains(b)).count().max(1),
        };
        rest.get(..end).unwrap_or(rest)
    }

    /// Takes `token`, which must be next.
    fn take(&mut self, token: &str) -> Result<Span> {
        let found = self.peek();
        if found != token {
            return Err(format!("expected `{token}`, found `{found}`"));
        }
        let start = self.at;
        self.at += token.len();
        Ok(Span::new(start, self.at))
    }

    /// Takes `token` if it is next.
    fn take_if(&mut self, token: &str) -> bool {
        self.peek() == token && self.take(token).is_ok()
    }

    /// Goes to the word that the tree has at `start`: only blanks may be before it, and line ends when `lines`.
    fn go(&mut self, start: usize, lines: bool) -> Result<()> {
        self.skip();
        if self.at != start || (self.newline && !lines) {
            return Err(format!("unexpected `{}`", self.peek()));
        }
        Ok(())
    }

    fn list(&mut self, seq: &ast::StmtSeq) -> Result<Vec<Statement>> {
        let mut out = Vec::with_capacity(seq.len());
        for (i, stmt) in seq.iter().enumerate() {
            let list = self.and_or(stmt)?;
            let token = self.peek();
            let last = i + 1 == seq.len();
            let (terminator, terminator_span) = match token {
                ";" => (Terminator::Semicolon, self.take(";")?),
                "&" => (Terminator::Background, self.take("&")?),
                _ if self.newline && !token.is_empty() => (Terminator::Newline, Span::empty(list.span.end)),
                _ if last => (Terminator::None, Span::empty(list.span.end)),
                _ => return Err(format!("unexpected `{token}`")),
            };
            out.push(Statement { list, terminator, terminator_span });
        }
        Ok(out)
    }

    /// A list that may not be empty.
    fn block(&mut self, seq: &ast::StmtSeq) -> Result<Vec<Statement>> {
        match self.list(seq)? {
            list if list.is_empty() => Err("a command without a body".to_string()),
            list => Ok(list),
        }
    }

    fn and_or(&mut self, stmt: &ast::Stmt) -> Result<AndOr> {
        let mut rest = Vec::new();
        let mut first = stmt;
        while let Some((binary, op)) = joint(first) {
            rest.push((op, &*binary.right));
            first = &binary.left;
        }
        let first = self.pipeline(first)?;
        let mut span = first.span;
        let mut joints = Vec::with_capacity(rest.len());
        for (op, right) in rest.into_iter().rev() {
            self.skip();
            let newline = self.newline;
            let op_span = self.take(if op == Op::And { "&&" } else { "||" })?;
            if newline {
                return Err("a line starts with an operator".to_string());
            }
            let node = self.pipeline(right)?;
            span = span.to(node.span);
            joints.push(Joint { op, op_span, node });
        }
        Ok(AndOr { first, rest: joints, span })
    }

    fn pipeline(&mut self, stmt: &ast::Stmt) -> Result<Node> {
        let mut rest = Vec::new();
        let mut first = stmt;
        while let ast::Command::Binary(binary) = &first.command {
            let op = match binary.op {
                ast::BinaryOp::Pipe => "|",
                ast::BinaryOp::PipeAll => "|&",
                _ => return Err("a list within a pipeline".to_string()),
            };
            if !first.redirects.is_empty() || (first.negated && !std::ptr::eq(first, stmt)) {
                return Err("a pipeline within a pipeline".to_string());
            }
            rest.push((op, &*binary.right));
            first = &binary.left;
        }
        let mut span = None;
        if stmt.negated {
            span = Some(self.take("!")?);
        }
        let mut parts = vec![self.command(first)?];
        for (op, right) in rest.into_iter().rev() {
            self.peek();
            if self.newline || (op == "|&" && self.dialect == Dialect::Posix) {
                return Err(format!("unexpected `{op}`"));
            }
            self.take(op)?;
            parts.push(self.command(right)?);
        }
        if parts.len() == 1 && !stmt.negated {
            return parts.pop().ok_or_else(|| "an empty pipeline".to_string());
        }
        let ends = parts[0].span.to(parts[parts.len() - 1].span);
        let span = span.map_or(ends, |s| s.to(ends));
        Ok(Node { kind: NodeKind::Pipeline { negated: stmt.negated, parts }, redirects: Vec::new(), span })
    }

    fn command(&mut self, stmt: &ast::Stmt) -> Result<Node> {
        self.skip();
        let start = self.at;
        let kind = match &stmt.command {
            ast::Command::Simple(c) => {
                let named = c.name.span != ast::Span::new();
                let words: Vec<_> =
                    named.then_some(&c.name).into_iter().chain(&c.args).map(Item::Word).collect();
                self.simple(&c.assignments, words, &stmt.redirects, None)?
            }
            ast::Command::Builtin(c) => {
                let (name, assigns, code, args) = match c {
                    ast::BuiltinCommand::Break(c) => ("break", &c.assignments, &c.depth, &c.extra_args),
                    ast::BuiltinCommand::Continue(c) => ("continue", &c.assignments, &c.depth, &c.extra_args),
                    ast::BuiltinCommand::Return(c) => ("return", &c.assignments, &c.code, &c.extra_args),
                    ast::BuiltinCommand::Exit(c) => ("exit", &c.assignments, &c.code, &c.extra_args),
                };
                let words = code.iter().chain(args).map(Item::Word).collect();
                self.simple(assigns, words, &stmt.redirects, Some(name))?
            }
            ast::Command::Decl(c) => {
                let words = c.operands.iter().map(Item::Operand).collect();
                self.simple(&c.assignments, words, &stmt.redirects, Some(c.variant.as_str()))?
            }
            ast::Command::Compound(c) => {
                let kind = self.compound(c)?;
                return self.redirected(kind, &stmt.redirects, start);
            }
            ast::Command::Function(c) => {
                let kind = self.function(c)?;
                return self.redirected(kind, &stmt.redirects, start);
            }
            ast::Command::Binary(_) | ast::Command::AnonymousFunction(_) => {
                return Err("an unexpected list".to_string());
            }
        };
        Ok(Node { kind: NodeKind::Simple(kind), redirects: Vec::new(), span: Span::new(start, self.at) })
    }

    fn redirected(&mut self, kind: NodeKind, redirects: &[ast::Redirect], start: usize) -> Result<Node> {
        let mut out = Vec::with_capacity(redirects.len());
        for redirect in written(redirects, self.text) {
            out.push(self.redirect(redirect)?);
        }
        Ok(Node { kind, redirects: out, span: Span::new(start, self.at) })
    }

    /// The items of a simple command in the order of the text. The tree has no span for the `name` of a builtin: it
    /// stands where no other item does.
    fn simple(
        &mut self,
        assigns: &[ast::Assignment],
        words: Vec<Item<'_>>,
        redirects: &[ast::Redirect],
        mut name: Option<&str>,
    ) -> Result<Simple> {
        let mut items = words;
        items.extend(assigns.iter().map(Item::Assign));
        items.extend(written(redirects, self.text).into_iter().map(Item::Redirect));
        items.sort_by_key(Item::start);
        let mut out = Simple::default();
        let mut first = true;
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() || name.is_some() {
            self.skip();
            let due = items.peek().is_some_and(|i| i.start() == self.at);
            if let (Some(n), false) = (name, due) {
                let span = self.take(n)?;
                out.words.push(Word::plain(n, span));
                name = None;
            } else if let Some(item) = items.next() {
                self.go(item.start(), first)?;
                match item {
                    Item::Word(w) => out.words.push(self.word(w)?),
                    Item::Operand(o) => out.words.push(self.operand(o)?),
                    Item::Assign(a) => out.assigns.push(self.assign(a)?),
                    Item::Redirect(r) => out.redirects.push(self.redirect(r)?),
                }
            }
            if self.newline && !first {
                return Err("a command on two lines".to_string());
            }
            first = false;
        }
        if first {
            return Err("an empty command".to_string());
        }
        if self.dialect == Dialect::Posix {
            let name = out.words.first().and_then(Word::literal).unwrap_or_default();
            if matches!(name, "[[" | "function" | "select" | "coproc") && !out.words[0].quoted {
                return Err(format!("`{name}` is a keyword only in bash"));
            }
        }
        Ok(out)
    }

    fn compound(&mut self, command: &ast::CompoundCommand) -> Result<NodeKind> {
        match command {
            ast::CompoundCommand::Subshell(body) => {
                self.take("(")?;
                if self.dialect == Dialect::Posix && self.byte(self.at) == b'(' {
                    return Err("`((` is arithmetic to bash and two subshells to other shells".to_string());
                }
                let body = self.block(body)?;
                self.take(")")?;
                Ok(NodeKind::Subshell(body))
            }
            ast::CompoundCommand::BraceGroup(body) => {
                self.take("{")?;
                let body = self.block(body)?;
                self.take("}")?;
                Ok(NodeKind::Group(body))
            }
            ast::CompoundCommand::If(c) => {
                let mut branches = Vec::new();
                let first = (&c.condition, &c.then_branch);
                for (i, (test, body)) in
                    std::iter::once(first).chain(c.elif_branches.iter().map(|b| (&b.0, &b.1))).enumerate()
                {
                    self.take(if i == 0 { "if" } else { "elif" })?;
                    let test = self.block(test)?;
                    self.take("then")?;
                    branches.push((test, self.block(body)?));
                }
                let otherwise = match &c.else_branch {
                    Some(body) => {
                        self.take("else")?;
                        Some(self.block(body)?)
                    }
                    None => None,
                };
                self.take("fi")?;
                Ok(NodeKind::If { branches, otherwise })
            }
            ast::CompoundCommand::While(c) => self.looped(false, &c.condition, &c.body),
            ast::CompoundCommand::Until(c) => self.looped(true, &c.condition, &c.body),
            ast::CompoundCommand::For(c) => self.each(c),
            ast::CompoundCommand::Case(c) => self.case(c),
            ast::CompoundCommand::Time(c) if self.dialect == Dialect::Bash => {
                self.take("time")?;
                self.take_if("-p");
                let inner = c.command.as_ref().ok_or("`time` without a command")?;
                Ok(NodeKind::Opaque(Opaque::Timed(Box::new(self.pipeline(inner)?))))
            }
            ast::CompoundCommand::Conditional(c) => {
                let span = self.whole(c.left_bracket_span, c.right_bracket_span)?;
                let (reads, mut sets) = words::scan(&self.text[span.range()], false);
                if self.text[span.range()].contains("=~") {
                    sets.push("BASH_REMATCH".to_string());
                }
                Ok(NodeKind::Opaque(Opaque::Test { reads, sets }))
            }
            ast::CompoundCommand::Arithmetic(c) => {
                let span = self.whole(c.left_paren_span, c.right_paren_span)?;
                let (reads, sets) = words::scan(&self.text[span.range()], true);
                Ok(NodeKind::Opaque(Opaque::Arithmetic { reads, sets }))
            }
            _ => Err("a command of a kind that is not read".to_string()),
        }
    }

    /// Takes all from `first` to `last`.
    fn whole(&mut self, first: ast::Span, last: ast::Span) -> Result<Span> {
        self.go(first.start.offset(), true)?;
        let start = self.at;
        self.at = last.end.offset();
        if self.text[start..self.at].contains("$(") || self.text[start..self.at].contains('`') {
            return Err("a substitution within `[[` or `((`".to_string());
        }
        Ok(Span::new(start, self.at))
    }

    fn looped(&mut self, until: bool, condition: &ast::StmtSeq, body: &ast::StmtSeq) -> Result<NodeKind> {
        self.take(if until { "until" } else { "while" })?;
        let condition = self.block(condition)?;
        self.take("do")?;
        let body = self.block(body)?;
        self.take("done")?;
        Ok(NodeKind::While { until, condition, body })
    }

    fn each(&mut self, c: &ast::ForCommand) -> Result<NodeKind> {
        self.take("for")?;
        let [target] = c.targets.as_slice() else { return Err("`for` with several names".to_string()) };
        let name = target.name.as_ref().ok_or("`for` without a name")?.as_str().to_string();
        self.take(&name)?;
        let words = match &c.words {
            Some(words) => {
                self.take("in")?;
                let mut out = Vec::with_capacity(words.len());
                for word in words {
                    self.go(word.span.start.offset(), false)?;
                    out.push(self.word(word)?);
                }
                Some(out)
            }
            None => None,
        };
        self.take_if(";");
        self.take("do")?;
        let body = self.block(&c.body)?;
        self.take("done")?;
        Ok(NodeKind::For { name, words, body })
    }

    fn case(&mut self, c: &ast::CaseCommand) -> Result<NodeKind> {
        self.take("case")?;
        self.go(c.word.span.start.offset(), false)?;
        let word = self.word(&c.word)?;
        self.take("in")?;
        let mut items = Vec::with_capacity(c.cases.len());
        for (i, item) in c.cases.iter().enumerate() {
            self.take_if("(");
            let mut patterns = Vec::with_capacity(item.patterns.len());
            for (j, pattern) in item.patterns.iter().enumerate() {
                if j > 0 {
                    self.take("|")?;
                }
                self.go(pattern.span.start.offset(), true)?;
                patterns.push(self.pattern(pattern)?);
            }
            self.take(")")?;
            let body = self.list(&item.body)?;
            let last = i + 1 == c.cases.len();
            match self.peek() {
                ";;" => self.take(";;").map(|_| ())?,
                ";&" | ";;&" if self.dialect == Dialect::Bash => self.at += self.peek().len(),
                "esac" if last => {}
                other => return Err(format!("unexpected `{other}` in `case`")),
            }
            items.push((patterns, body));
        }
        self.take("esac")?;
        Ok(NodeKind::Case { word, items })
    }

    fn function(&mut self, c: &ast::FunctionDef) -> Result<NodeKind> {
        if c.uses_function_keyword() {
            if self.dialect == Dialect::Posix {
                return Err("`function` is a keyword only in bash".to_string());
            }
            self.take("function")?;
        }
        let [entry] = c.header.entries.as_slice() else {
            return Err("a function with several names".to_string());
        };
        let name = entry.static_name.as_ref().ok_or("a function without a name")?.as_str().to_string();
        self.take(&name)?;
        if c.has_trailing_parens() {
            self.take("(")?;
            self.take(")")?;
        }
        let body = self.command(&c.body)?;
        Ok(NodeKind::Function { name, body: Box::new(body) })
    }

    fn assign(&mut self, a: &ast::Assignment) -> Result<Assign> {
        let start = self.at;
        let name = a.target.name.as_str().to_string();
        let mut partial = a.append || a.target.subscript.is_some();
        let value = match &a.value {
            ast::AssignmentValue::Scalar(word) => {
                let equals = if a.append { "+=" } else { "=" };
                if !partial || a.target.subscript.is_none() {
                    let head = format!("{name}{equals}");
                    if !self.text[self.at..].starts_with(&head) {
                        return Err(format!("expected `{head}`"));
                    }
                    self.at += head.len();
                } else {
                    self.at = word.span.start.offset().max(self.at);
                }
                if word.parts.is_empty() {
                    Word::plain("", Span::new(self.at, self.at))
                } else {
                    self.word(word)?
                }
            }
            ast::AssignmentValue::Compound(array) => {
                if self.dialect == Dialect::Posix {
                    return Err("an array, which sh does not have".to_string());
                }
                partial = true;
                self.array(array, a.span)?
            }
        };
        if self.dialect == Dialect::Posix && partial {
            return Err("an assignment that only bash has".to_string());
        }
        Ok(Assign { name, partial, value, span: Span::new(start, self.at) })
    }

    /// Goes over the descriptor and the operator of a redirect, and gives the descriptor's number.
    fn descriptor(&mut self, named: bool) -> Option<u32> {
        if named {
            self.at += self.text[self.at..].find('}').map_or(0, |n| n + 1);
        }
        let digits = self.text[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        let fd = self.text[self.at..self.at + digits].parse().ok();
        self.at += digits;
        while matches!(self.byte(self.at), b'<' | b'>' | b'&' | b'|') && self.byte(self.at + 1) != b'(' {
            self.at += 1;
        }
        fd
    }

    fn redirect(&mut self, r: &ast::Redirect) -> Result<Redirect> {
        use shuck_ast::RedirectKind as K;
        self.go(start_of(r), false)?;
        let start = self.at;
        let kind = match r.kind {
            K::Output | K::Clobber => RedirectKind::Write,
            K::Append if self.byte(start) == b'&' => RedirectKind::Both,
            K::Append => RedirectKind::Append,
            K::Input => RedirectKind::Read,
            K::ReadWrite => RedirectKind::ReadWrite,
            K::HereDoc | K::HereDocStrip => RedirectKind::Heredoc,
            K::HereString => RedirectKind::HereString,
            K::DupOutput | K::DupInput => RedirectKind::Dup,
            K::OutputBoth => RedirectKind::Both,
        };
        let bash_only = matches!(kind, RedirectKind::HereString | RedirectKind::Both) || r.fd_var.is_some();
        if self.dialect == Dialect::Posix && (bash_only || self.byte(start) == b'&') {
            return Err("a redirect that only bash has".to_string());
        }
        // The tree gives `2>&1` no word of its own, so that the operator is read here.
        let fd = self.descriptor(r.fd_var.is_some());
        let target = match &r.target {
            ast::RedirectTarget::Word(word) => {
                self.skip();
                if self.newline {
                    return Err("a redirect without a target".to_string());
                }
                let start = word.span.start.offset();
                let token = self.peek();
                let number = token.trim_end_matches('-').bytes().all(|b| b.is_ascii_digit());
                if start != self.at && kind == RedirectKind::Dup && number && !token.is_empty() {
                    Word::plain(token, self.take(token)?)
                } else {
                    self.word(word)?
                }
            }
            ast::RedirectTarget::Heredoc(doc) => {
                self.heredoc = true;
                let body = doc.body.span.start.offset()..doc.body.span.end.offset();
                let strip = doc.delimiter.strip_tabs;
                self.heredocs.push(Pending { delimiter: doc.delimiter.cooked.to_string(), strip, body });
                self.at = doc.delimiter.raw.span.end.offset().max(doc.delimiter.span.end.offset());
                self.body(&doc.body)?
            }
        };
        Ok(Redirect {
            fd,
            fd_name: r.fd_var.as_ref().map(|n| n.as_str().to_string()),
            kind,
            target: Some(target),
            span: Span::new(start, self.at),
        })
    }
}

/// A piece of a simple command.
enum Item<'t> {
    Word(&'t ast::Word),
    Operand(&'t ast::DeclOperand),
    Assign(&'t ast::Assignment),
    Redirect(&'t ast::Redirect),
}

impl Item<'_> {
    fn start(&self) -> usize {
        match self {
            Item::Word(w) => w.span.start.offset(),
            Item::Operand(o) => match o {
                ast::DeclOperand::Flag(w) | ast::DeclOperand::Dynamic(w) => w.span.start.offset(),
                ast::DeclOperand::Name(n) => n.span.start.offset(),
                ast::DeclOperand::Assignment(a) => a.span.start.offset(),
            },
            Item::Assign(a) => a.span.start.offset(),
            Item::Redirect(r) => start_of(r),
        }
    }
}

/// The redirects that are written: the tree has a second one, `2>&1`, in the place of each `&>>`.
fn written<'t>(redirects: &'t [ast::Redirect], text: &str) -> Vec<&'t ast::Redirect> {
    let both = |r: &ast::Redirect| text.as_bytes().get(r.span.start.offset()) == Some(&b'&');
    redirects.iter().filter(|r| !(both(r) && matches!(r.kind, ast::RedirectKind::DupOutput))).collect()
}

/// Where a redirect starts, with the `{name}` of bash.
fn start_of(r: &ast::Redirect) -> usize {
    r.fd_var_span.map_or(r.span.start.offset(), |name| name.start.offset().saturating_sub(1))
}

fn joint(stmt: &ast::Stmt) -> Option<(&ast::BinaryCommand, Op)> {
    match &stmt.command {
        ast::Command::Binary(b) if !stmt.negated && stmt.redirects.is_empty() => match b.op {
            ast::BinaryOp::And => Some((b, Op::And)),
            ast::BinaryOp::Or => Some((b, Op::Or)),
            _ => None,
        },
        _ => None,
    }
}

fn span(s: ast::Span) -> Span {
    Span { start: to_u32(s.start.offset()), end: to_u32(s.end.offset()) }
}
