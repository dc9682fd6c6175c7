//! The block `with`: the crate's own fails in strict mode where its value is missing, which is just
//! what authors write it for.

use handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy,
    Output, RenderContext, RenderErrorReason, Renderable,
};

pub(super) struct With;

impl HelperDef for With {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("with", 0))?;
        if !value.value().is_truthy(false) {
            let otherwise = helper.inverse();
            return otherwise.map_or(Ok(()), |part| part.render(registry, context, render, out));
        }
        let mut block = BlockContext::new();
        match value.context_path() {
            Some(path) => block.base_path_mut().clone_from(path),
            None => block.set_base_value(value.value().clone()),
        }
        // Within a loop its @index and @last stay known.
        if let Some(outer) = render.block() {
            block.local_variables_mut().clone_from(outer.local_variables());
        }
        if let Some(name) = helper.block_param() {
            let mut params = BlockParams::new();
            params.add_value(name, value.value().clone())?;
            block.set_block_params(params);
        }
        render.push_block(block);
        let rendered =
            helper.template().map_or(Ok(()), |part| part.render(registry, context, render, out));
        render.pop_block();
        rendered
    }
}
