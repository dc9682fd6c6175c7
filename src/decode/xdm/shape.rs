//! The XDM fields that are read, as sources spell them; everything else is passed over.

use serde::Deserialize;

use crate::decode::loose::{List, Loose, Pairs, Part};

/// An experience event, or a profile record, with or without the `xdm` wrapper.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "an XDM record, a JSON object")]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub xdm: Option<Box<Self>>,
    #[serde(rename = "_id")]
    pub id: Loose<'a>,
    pub timestamp: Loose<'a>,
    pub event_type: Loose<'a>,
    pub identity_map: Pairs<'a, List<Part<MappedId<'a>>>>,
    #[serde(rename = "personID")]
    pub person_id: Loose<'a>,
    pub channel: Part<ChannelRef<'a>>,
    pub commerce: Part<Commerce<'a>>,
    pub product_list_items: List<Part<Line<'a>>>,
    pub web: Part<Web<'a>>,
    pub site_search: Part<SiteSearch<'a>>,
    /// An object with an address, or the bare address.
    pub personal_email: Loose<'a>,
    pub person: Part<Box<Person<'a>>>,
    pub user_account: Part<UserAccount<'a>>,
    pub mobile_phone: Part<Phone<'a>>,
    pub billing_address: Part<Box<Address<'a>>>,
    pub billing_address_phone: Part<Phone<'a>>,
    pub shipping_address: Part<Box<Address<'a>>>,
    pub shipping_address_phone: Part<Phone<'a>>,
    pub home_address: Part<Box<Address<'a>>>,
    pub home_phone: Part<Phone<'a>>,
    pub preferred_language: Loose<'a>,
    pub time_zone: Loose<'a>,
    pub loyalty: Part<Box<Loyalty<'a>>>,
    pub consents: Part<Box<Consents<'a>>>,
    pub test_profile: Loose<'a>,
    #[serde(rename = "_yourOrganizationID")]
    pub tenant: Part<Tenant<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct MappedId<'a> {
    #[serde(borrow)]
    pub id: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ChannelRef<'a> {
    #[serde(borrow, rename = "_id")]
    pub id: Loose<'a>,
    #[serde(rename = "_type")]
    pub kind: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Commerce<'a> {
    #[serde(borrow, rename = "commerceScope")]
    pub scope: Part<Scope<'a>>,
    pub cart: Part<Cart<'a>>,
    pub order: Part<Order<'a>>,
    pub shipping: Part<Shipping<'a>>,
    pub billing: Part<Billing<'a>>,
    pub refunds: List<Part<Refund<'a>>>,
    #[serde(rename = "promotionID")]
    pub promotion_id: Loose<'a>,
    pub save_for_laters: Part<Measure<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Scope<'a> {
    #[serde(borrow, rename = "environmentID")]
    pub environment_id: Loose<'a>,
    pub website_code: Loose<'a>,
    pub store_code: Loose<'a>,
    pub store_view_code: Loose<'a>,
    /// The spelling of the schema's own example, here and below.
    pub environment: Loose<'a>,
    pub website: Loose<'a>,
    pub store: Loose<'a>,
    pub store_view: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Cart<'a> {
    #[serde(borrow, rename = "cartID")]
    pub id: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Order<'a> {
    #[serde(borrow, rename = "purchaseID")]
    pub purchase_id: Loose<'a>,
    pub currency_code: Loose<'a>,
    pub price_total: Loose<'a>,
    pub discount_amount: Loose<'a>,
    pub coupon_code: Loose<'a>,
    pub payments: List<Part<Payment<'a>>>,
    pub refunds: List<Part<Refund<'a>>>,
    pub refund_total: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Payment<'a> {
    #[serde(borrow)]
    pub payment_amount: Loose<'a>,
    pub currency_code: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Refund<'a> {
    #[serde(borrow)]
    pub refund_amount: Loose<'a>,
    /// A spelling of an example of the schema's own, here and below.
    pub refund_ammount: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Shipping<'a> {
    #[serde(borrow)]
    pub shipping_method: Loose<'a>,
    pub tracking_number: Loose<'a>,
    #[serde(rename = "trackingURL")]
    pub tracking_url: Loose<'a>,
    pub currency_code: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Billing<'a> {
    #[serde(borrow)]
    pub address: Part<Address<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Measure<'a> {
    #[serde(borrow)]
    pub value: Loose<'a>,
}

/// One of `productListItems`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Line<'a> {
    #[serde(borrow, rename = "SKU")]
    pub sku: Loose<'a>,
    pub name: Loose<'a>,
    pub quantity: Loose<'a>,
    pub price_total: Loose<'a>,
    pub currency_code: Loose<'a>,
    pub product_image_url: Loose<'a>,
    pub product_url: Loose<'a>,
    pub brand: Loose<'a>,
    pub selected_options: List<Part<Choice<'a>>>,
    pub product_categories: List<Part<Category<'a>>>,
    pub categories: List<Part<Category<'a>>>,
    pub category_id: Loose<'a>,
    pub refund_amount: Loose<'a>,
    pub refund_ammount: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    pub attribute: Loose<'a>,
    pub value: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Category<'a> {
    #[serde(borrow, rename = "categoryID")]
    pub category_id: Loose<'a>,
    #[serde(rename = "categoryName")]
    pub category_name: Loose<'a>,
    #[serde(rename = "categoryPath")]
    pub category_path: Loose<'a>,
    /// The spelling of the back office, here and below.
    pub id: Loose<'a>,
    pub name: Loose<'a>,
    pub path: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Web<'a> {
    #[serde(borrow, rename = "webPageDetails")]
    pub page: Part<PageDetails<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageDetails<'a> {
    #[serde(borrow)]
    pub name: Loose<'a>,
    #[serde(rename = "URL")]
    pub url: Loose<'a>,
    pub site_section: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SiteSearch<'a> {
    #[serde(borrow)]
    pub query: Loose<'a>,
    pub number_of_results: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct EmailAddress<'a> {
    #[serde(borrow)]
    pub address: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Person<'a> {
    #[serde(borrow)]
    pub name: Part<PersonName<'a>>,
    #[serde(rename = "accountID")]
    pub account_id: Loose<'a>,
    pub account_type: Loose<'a>,
    #[serde(rename = "personalEmailID")]
    pub personal_email_id: Loose<'a>,
    pub birth_date: Loose<'a>,
    pub gender: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PersonName<'a> {
    #[serde(borrow)]
    pub first_name: Loose<'a>,
    pub last_name: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct UserAccount<'a> {
    #[serde(borrow)]
    pub start_date: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Phone<'a> {
    #[serde(borrow)]
    pub number: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Address<'a> {
    #[serde(borrow)]
    pub city: Loose<'a>,
    pub state: Loose<'a>,
    pub postal_code: Loose<'a>,
    pub country: Loose<'a>,
    pub country_code: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Loyalty<'a> {
    #[serde(borrow)]
    pub points: Loose<'a>,
    pub tier: Loose<'a>,
    pub join_date: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Consents<'a> {
    #[serde(borrow)]
    pub marketing: Part<Marketing<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Marketing<'a> {
    #[serde(borrow)]
    pub any: Part<Choose<'a>>,
    pub email: Part<Choose<'a>>,
    pub sms: Part<Choose<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Choose<'a> {
    #[serde(borrow)]
    pub val: Loose<'a>,
}

/// The fields of an organization's own in Adobe's training data.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tenant<'a> {
    #[serde(borrow)]
    pub system_identifier: Part<SystemIdentifier<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SystemIdentifier<'a> {
    #[serde(borrow)]
    pub crm_id: Loose<'a>,
    pub loyalty_id: Loose<'a>,
}
