//! How pictures are written down: one page, one type, one palette; text and lines as SVG elements.

use std::fmt::Write;

/// Every page is so wide, and as high as it needs.
pub const WIDTH: f64 = 1000.0;

const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif;fill:#1f2933;paint-order:stroke;stroke:#fff;stroke-width:3px}\
.title{font-size:20px;font-weight:600}.sub,.tick{fill:#616e7c}.headline{font-size:15px;font-weight:600}\
.name{text-anchor:end}.end{text-anchor:end}.middle{text-anchor:middle}.good{fill:#1c7c4a}.bad{fill:#b3261e}.own{fill:#24607d}\
.grid{stroke:#e4e7eb}";

/// The whole picture. `title` is what a screen reader says of it, `style` what its own classes look
/// like, `defs` what its elements refer to.
pub fn page(title: &str, style: &str, defs: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>{}</title>\n<style>{STYLE}{style}</style>\n{defs}\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#fff\" stroke=\"#e4e7eb\"/>\n{body}</svg>\n",
        escape(title),
    )
}

pub fn text(body: &mut String, x: f64, y: f64, class: &str, said: &str) {
    let _ = match class.trim() {
        "" => writeln!(body, r#"<text x="{x:.1}" y="{y:.1}">{}</text>"#, escape(said)),
        class => {
            writeln!(body, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escape(said))
        }
    };
}

pub fn line(body: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        body,
        r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

pub fn escape(said: &str) -> String {
    said.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
