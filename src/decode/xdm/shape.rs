//! The XDM fields that are read, as sources spell them; everything else is passed over.

use serde::Deserialize;

use crate::decode::loose::{List, Loose, Pairs};

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
    pub identity_map: Option<Pairs<'a, List<MappedId<'a>>>>,
    #[serde(rename = "personID")]
    pub person_id: Loose<'a>,
    pub channel: Option<ChannelRef<'a>>,
    pub commerce: Option<Commerce<'a>>,
    pub product_list_items: Option<List<Line<'a>>>,
    pub web: Option<Web<'a>>,
    pub site_search: Option<SiteSearch<'a>>,
    pub personal_email: Option<EmailAddress<'a>>,
    pub person: Option<Box<Person<'a>>>,
    pub user_account: Option<UserAccount<'a>>,
    pub mobile_phone: Option<Phone<'a>>,
    pub billing_address: Option<Box<Address<'a>>>,
    pub billing_address_phone: Option<Phone<'a>>,
    pub shipping_address: Option<Box<Address<'a>>>,
    pub shipping_address_phone: Option<Phone<'a>>,
    pub home_address: Option<Box<Address<'a>>>,
    pub home_phone: Option<Phone<'a>>,
    pub preferred_language: Loose<'a>,
    pub time_zone: Loose<'a>,
    pub loyalty: Option<Box<Loyalty<'a>>>,
    pub consents: Option<Box<Consents<'a>>>,
    pub test_profile: Loose<'a>,
    #[serde(rename = "_yourOrganizationID")]
    pub tenant: Option<Tenant<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "an identity of identityMap, an object with an id")]
pub(super) struct MappedId<'a> {
    #[serde(borrow)]
    pub id: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "channel to be an object")]
pub(super) struct ChannelRef<'a> {
    #[serde(borrow, rename = "_id")]
    pub id: Loose<'a>,
    #[serde(rename = "_type")]
    pub kind: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "commerce to be an object")]
pub(super) struct Commerce<'a> {
    #[serde(borrow, rename = "commerceScope")]
    pub scope: Option<Scope<'a>>,
    pub cart: Option<Cart<'a>>,
    pub order: Option<Order<'a>>,
    pub shipping: Option<Shipping<'a>>,
    pub billing: Option<Billing<'a>>,
    pub refunds: Option<List<Refund<'a>>>,
    #[serde(rename = "promotionID")]
    pub promotion_id: Loose<'a>,
    pub save_for_laters: Option<Measure<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "commerceScope to be an object")]
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
#[serde(default, expecting = "cart to be an object")]
pub(super) struct Cart<'a> {
    #[serde(borrow, rename = "cartID")]
    pub id: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "order to be an object")]
pub(super) struct Order<'a> {
    #[serde(borrow, rename = "purchaseID")]
    pub purchase_id: Loose<'a>,
    pub currency_code: Loose<'a>,
    pub price_total: Loose<'a>,
    pub discount_amount: Loose<'a>,
    pub coupon_code: Loose<'a>,
    pub payments: Option<List<Payment<'a>>>,
    pub refunds: Option<List<Refund<'a>>>,
    pub refund_total: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "a payment, an object")]
pub(super) struct Payment<'a> {
    #[serde(borrow)]
    pub payment_amount: Loose<'a>,
    pub currency_code: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "a refund, an object")]
pub(super) struct Refund<'a> {
    #[serde(borrow)]
    pub refund_amount: Loose<'a>,
    /// A spelling of an example of the schema's own, here and below.
    pub refund_ammount: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "shipping to be an object")]
pub(super) struct Shipping<'a> {
    #[serde(borrow)]
    pub shipping_method: Loose<'a>,
    pub tracking_number: Loose<'a>,
    #[serde(rename = "trackingURL")]
    pub tracking_url: Loose<'a>,
    pub currency_code: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "billing to be an object")]
pub(super) struct Billing<'a> {
    #[serde(borrow)]
    pub address: Option<Address<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "a measure, an object with a value")]
pub(super) struct Measure<'a> {
    #[serde(borrow)]
    pub value: Loose<'a>,
}

/// One of `productListItems`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "a product list item, an object")]
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
    pub selected_options: Option<List<Choice<'a>>>,
    pub product_categories: Option<List<Category<'a>>>,
    pub categories: Option<List<Category<'a>>>,
    pub category_id: Loose<'a>,
    pub refund_amount: Loose<'a>,
    pub refund_ammount: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "a selected option, an object")]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    pub attribute: Loose<'a>,
    pub value: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "a category, an object")]
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
#[serde(default, expecting = "web to be an object")]
pub(super) struct Web<'a> {
    #[serde(borrow, rename = "webPageDetails")]
    pub page: Option<PageDetails<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "webPageDetails to be an object")]
pub(super) struct PageDetails<'a> {
    #[serde(borrow)]
    pub name: Loose<'a>,
    #[serde(rename = "URL")]
    pub url: Loose<'a>,
    pub site_section: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "siteSearch to be an object")]
pub(super) struct SiteSearch<'a> {
    #[serde(borrow)]
    pub query: Loose<'a>,
    pub number_of_results: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "personalEmail to be an object with an address")]
pub(super) struct EmailAddress<'a> {
    #[serde(borrow)]
    pub address: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "person to be an object")]
pub(super) struct Person<'a> {
    #[serde(borrow)]
    pub name: Option<PersonName<'a>>,
    #[serde(rename = "accountID")]
    pub account_id: Loose<'a>,
    pub account_type: Loose<'a>,
    #[serde(rename = "personalEmailID")]
    pub personal_email_id: Loose<'a>,
    pub birth_date: Loose<'a>,
    pub gender: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "a person's name, an object")]
pub(super) struct PersonName<'a> {
    #[serde(borrow)]
    pub first_name: Loose<'a>,
    pub last_name: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "userAccount to be an object")]
pub(super) struct UserAccount<'a> {
    #[serde(borrow)]
    pub start_date: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "a phone, an object with a number")]
pub(super) struct Phone<'a> {
    #[serde(borrow)]
    pub number: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "an address, an object")]
pub(super) struct Address<'a> {
    #[serde(borrow)]
    pub city: Loose<'a>,
    pub state: Loose<'a>,
    pub postal_code: Loose<'a>,
    pub country: Loose<'a>,
    pub country_code: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "loyalty to be an object")]
pub(super) struct Loyalty<'a> {
    #[serde(borrow)]
    pub points: Loose<'a>,
    pub tier: Loose<'a>,
    pub join_date: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "consents to be an object")]
pub(super) struct Consents<'a> {
    #[serde(borrow)]
    pub marketing: Option<Marketing<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "consents.marketing to be an object")]
pub(super) struct Marketing<'a> {
    #[serde(borrow)]
    pub email: Option<Choose<'a>>,
    pub sms: Option<Choose<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "a consent, an object with a val")]
pub(super) struct Choose<'a> {
    #[serde(borrow)]
    pub val: Loose<'a>,
}

/// The fields of an organization's own in Adobe's training data.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "an object")]
pub(super) struct Tenant<'a> {
    #[serde(borrow)]
    pub system_identifier: Option<SystemIdentifier<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", expecting = "systemIdentifier to be an object")]
pub(super) struct SystemIdentifier<'a> {
    #[serde(borrow)]
    pub crm_id: Loose<'a>,
    pub loyalty_id: Loose<'a>,
}
